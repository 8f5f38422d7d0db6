"""Base64 texts of requests (RFC 4648 section 4), decoded in pieces.

Each mistake is named in words. Decoding holds the interpreter lock, about 50 ms for 35 MB. In
pieces, other threads have turns.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

#: Characters that are decoded at once; a multiple of four.
_PIECE = 262_144
_BLANKS = re.compile(r"[ \t\r\n]+")
_FOREIGN = re.compile(r"[^A-Za-z0-9+/=]")
#: Characters of a second padding character and of line ends.
_LONGEST_END = 1000
_BEHIND_PADDING = "is not base64: text follows the padding (=)"


def decode_base64(text: str) -> Iterator[bytes]:
    """Yield the octets of a base64 text piece by piece; no piece is empty.

    Blanks and line ends are left out, as in MIME. Raises ValueError that names the mistake.
    """
    kept = ""
    for at in range(0, len(text), _PIECE):
        piece = text[at : at + _PIECE]
        characters = kept + (_BLANKS.sub("", piece) if _BLANKS.search(piece) else piece)
        if "=" in characters:
            characters += _BLANKS.sub("", text[at + _PIECE : at + _PIECE + _LONGEST_END])
            if len(text) > at + _PIECE + _LONGEST_END:
                raise ValueError(_BEHIND_PADDING)
            yield from _decoded(_data_of(characters), text, at)
            return
        end = len(characters) // 4 * 4
        kept = characters[end:]
        yield from _decoded(characters[:end], text, at)
    if kept:
        yield from _decoded(_data_of(kept), text, len(text))


def without_blanks(text: str) -> str:
    """Return a base64 text without its blanks and line ends."""
    pieces = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
    return "".join([_BLANKS.sub("", piece) for piece in pieces])


def _data_of(characters: str) -> str:
    """Return the end of a base64 text, whose padding has to be right."""
    data = characters.rstrip("=")
    padding = len(characters) - len(data)
    missing = -len(data) % 4 - padding
    if "=" in data:
        raise ValueError(_BEHIND_PADDING)
    if _FOREIGN.search(data) is not None:
        return data
    if len(data) % 4 == 1:
        raise ValueError("is not base64: its last group has a single character; is it cut off?")
    if missing > 0:
        raise ValueError(f"is not base64: {missing} of the padding (=) at its end are missing")
    if missing < 0:
        raise ValueError("is not base64: it has more padding (=) than needed")
    return characters


def _decoded(characters: str, text: str, begin: int) -> Iterator[bytes]:
    """Decode characters that were taken from ``text`` up to the piece at ``begin``."""
    found = None if characters.isascii() else _FOREIGN.search(characters)
    try:
        if found is None and characters:
            yield binascii.a2b_base64(characters, strict_mode=True)
    except binascii.Error:
        found = _FOREIGN.search(characters)
        if found is None:
            raise ValueError("is not base64") from None
    if found is not None:
        # A few characters of the piece before may be among them.
        raise _foreign(text, text.index(found[0], max(0, begin - _PIECE)))


def _foreign(text: str, at: int) -> ValueError:
    """Return the error about a character that base64 does not have."""
    character = text[at]
    if character in "-_":
        hint = "; use + and / instead of - and _"
    elif text[:20].lstrip()[:5].lower() in ("data:", "base6"):
        hint = "; give the base64 alone"
    else:
        hint = ""
    return ValueError(f"is not base64: {_named(character)} at character {at + 1}{hint}")


def _named(character: str) -> str:
    is_plain = character.isprintable() and not 0xD800 <= ord(character) < 0xE000
    return repr(character) if is_plain else f"U+{ord(character):04X}"
