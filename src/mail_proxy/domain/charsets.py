"""Decoding of texts in the charsets of mail, without exceptions."""

from __future__ import annotations

import binascii
import codecs
import re

#: Charset names that are often wrong in practice, and the superset that is really used.
_SUPERSETS = {
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "iso8859-1": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb_2312-80": "gb18030",
    "x-gbk": "gb18030",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "iso-2022-jp": "iso2022_jp_ext",
    "iso-2022-jp-1": "iso2022_jp_ext",
    "iso-2022-jp-ms": "iso2022_jp_ext",
    "cp50220": "iso2022_jp_ext",
    "cp50221": "iso2022_jp_ext",
    "big5": "big5hkscs",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-9": "cp1254",
    "unicode-1-1-utf-8": "utf-8",
    "utf8": "utf-8",
}
#: Python also knows codecs that are no charsets, and some that need quadratic time.
_CHARSET = re.compile(
    r"(?:utf|iso|windows|cp|koi8|big5|gb|hz|euc|shift|us-ascii|ascii|latin|mac|tis|ibm|ks_c|viscii)"
    r"[a-z0-9_.-]{0,30}"
)
_ISO_2022_ESCAPES = (b"\x1b$B", b"\x1b$@", b"\x1b(J", b"\x1b(I")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


def decode(octets: bytes, charset: str | None) -> str:
    """Return text, by the named charset if it is known, else by the octets themselves."""
    name = _codec(charset)
    if any(escape in octets for escape in _ISO_2022_ESCAPES):
        name = "iso2022_jp_ext"
    if name is None or name == "ascii":
        name = _guessed(octets)
    try:
        return octets.decode(name, "replace")
    except (LookupError, ValueError):
        return octets.decode("latin-1")


def decode_base64(octets: bytes) -> bytes:
    """Return what base64 text means; everything outside of its alphabet is skipped."""
    clean = _NOT_BASE64.sub(b"", octets)
    clean = clean[: len(clean) - (len(clean) % 4 == 1)]
    try:
        return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))
    except binascii.Error:
        return b""


def _codec(charset: str | None) -> str | None:
    if not charset:
        return None
    name = charset.strip().strip("\"'").lower()
    name = _SUPERSETS.get(name, name)
    if not _CHARSET.fullmatch(name):
        return None
    try:
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        return None


def _guessed(octets: bytes) -> str:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError as error:
        # A text that was cut in the middle of a character is UTF-8 nevertheless.
        return "utf-8" if error.start > len(octets) - 4 else "cp1252"
    return "utf-8"
