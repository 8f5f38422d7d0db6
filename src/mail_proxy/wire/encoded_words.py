"""Encoded words in header fields (RFC 2047), decoded for people to read.

Nothing that is sent depends on the result. What cannot be decoded stays as it is.
"""

from __future__ import annotations

import re

from mail_proxy.domain.charsets import decode, decode_base64

_WORD = re.compile(
    r"=\?([A-Za-z0-9_.:-]{1,40})(?:\*[A-Za-z0-9-]{0,40})?\?([bBqQ])\?([!->@-~ ]{0,4000})\?="
)
#: Blanks between two encoded words belong to neither (RFC 2047 section 6.2).
_BETWEEN = re.compile(r"(\?=)[ \t]+(?==\?[A-Za-z0-9_.:*-]{1,80}\?[bBqQ]\?)")
_Q_ESCAPE = re.compile(rb"=([0-9A-Fa-f]{2})")
#: Control characters, and the separators of lines and paragraphs.
_CONTROL = re.compile("[\\0-\\x1f\\x7f-\\x9f\u2028\u2029]")


def decoded_words(text: str) -> str:
    """Return an unfolded header text with its encoded words decoded.

    Has neither control characters nor lone surrogates: a space stands for each of them, and
    U+FFFD for octets that are no text.
    """
    if "=?" in text:
        text = "".join(_pieces(_BETWEEN.sub(r"\1", text)))
    return _CONTROL.sub(" ", text.encode(errors="replace").decode())


def _pieces(text: str) -> list[str]:
    """Return the pieces of a text, with its words decoded.

    Neighbouring words of one charset are decoded together, as some programs cut a text in
    the middle of a character.
    """
    pieces: list[str] = []
    charset, octets, end = "", b"", 0
    for word in _WORD.finditer(text):
        if word.start() > end or word[1].lower() != charset:
            pieces += (_as_text(octets, charset), text[end : word.start()])
            charset, octets = word[1].lower(), b""
        octets += _octets(word[2].lower(), word[3])
        end = word.end()
    return [*pieces, _as_text(octets, charset), text[end:]]


def _octets(encoding: str, payload: str) -> bytes:
    if encoding == "q":
        plain = payload.replace("_", " ").encode()
        return _Q_ESCAPE.sub(lambda escape: bytes.fromhex(escape[1].decode()), plain)
    return decode_base64(payload.encode()) or payload.encode()


def _as_text(octets: bytes, charset: str) -> str:
    return decode(octets, charset) if octets else ""
