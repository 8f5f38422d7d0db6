"""Base64 texts of requests (RFC 4648 section 4), decoded in pieces.

Each mistake is named in words. Decoding holds the interpreter lock, about 50 ms for 35 MB. In
pieces, other threads have turns.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from itertools import islice

from mail_proxy.domain.long_text import LongText, pieces_of

#: Characters that are decoded at once; a multiple of four.
_PIECE = 262_144
_BLANKS = b" \t\r\n"
_WITHOUT_BLANKS = str.maketrans("", "", _BLANKS.decode())
_FOREIGN = re.compile(r"[^A-Za-z0-9+/= \t\r\n]")
#: Pieces that may follow the first padding: the second character of it, and line ends.
_MOST_ENDS = 2
_BEHIND_PADDING = "is not base64: text follows the padding (=)"


def decode_base64(text: str | LongText) -> Iterator[bytes]:
    """Yield the octets of a base64 text piece by piece; no piece is empty.

    Blanks and line ends are left out, as in MIME. Raises ValueError that names the mistake.
    """
    kept = b""
    pieces = pieces_of(text, _PIECE)
    for piece in pieces:
        characters = kept + _octets(piece, text)
        if b"=" in characters:
            behind = "".join(islice(pieces, _MOST_ENDS))
            if len(behind) > _PIECE or next(pieces, None) is not None:
                raise ValueError(_BEHIND_PADDING)
            kept = characters + _octets(behind, text)
            break
        end = len(characters) // 4 * 4
        kept = characters[end:]
        if end:
            yield _decoded(characters[:end], text)
    if kept:
        yield _decoded(kept, text)


def _octets(piece: str, text: str | LongText) -> bytes:
    if not piece.isascii():
        raise _foreign(text)
    return piece.encode().translate(None, _BLANKS)


def without_blanks(text: str | LongText) -> str | LongText:
    """Return a base64 text without its blanks and line ends."""
    if isinstance(text, str):
        return text.translate(_WITHOUT_BLANKS)
    return LongText(tuple(piece.translate(_WITHOUT_BLANKS) for piece in text.pieces))


def _decoded(characters: bytes, text: str | LongText) -> bytes:
    """Decode a piece of ``text``; a last one may have padding and has to be whole."""
    try:
        if len(characters) % 4 or b"=" in characters:
            _check_end(characters, text)
        return binascii.a2b_base64(characters, strict_mode=True)
    except binascii.Error:
        raise _foreign(text) from None


def _check_end(characters: bytes, text: str | LongText) -> None:
    """Raise ValueError if the end of a base64 text is not whole."""
    if _FOREIGN.search(characters.decode()) is not None:
        raise _foreign(text)
    data = characters.rstrip(b"=")
    missing = -len(data) % 4 - (len(characters) - len(data))
    if b"=" in data:
        raise ValueError(_BEHIND_PADDING)
    if len(data) % 4 == 1:
        raise ValueError("is not base64: its last group has a single character; is it cut off?")
    if missing > 0:
        raise ValueError(f"is not base64: {missing} of the padding (=) at its end are missing")
    if missing < 0:
        raise ValueError("is not base64: it has more padding (=) than needed")


def _foreign(text: str | LongText) -> ValueError:
    """Return the error about the first character that base64 does not have."""
    at = 0
    begin = next(pieces_of(text, 20)).lstrip()[:5].lower()
    for piece in pieces_of(text, _PIECE):
        found = _FOREIGN.search(piece)
        if found is not None:
            named = _named(found[0])
            hint = "; use + and / instead of - and _" if found[0] in "-_" else ""
            if begin in ("data:", "base6"):
                hint = "; give the base64 alone"
            return ValueError(f"is not base64: {named} at character {at + found.start() + 1}{hint}")
        at += len(piece)
    return ValueError("is not base64")


def _named(character: str) -> str:
    is_plain = character.isprintable() and not 0xD800 <= ord(character) < 0xE000
    return repr(character) if is_plain else f"U+{ord(character):04X}"
