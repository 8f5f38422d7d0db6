"""Mail addresses in running text and in fields of reports, in linear time."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LITERAL = r"\[(?:IPv6:)?[0-9a-fA-F.:]{3,45}\]"
#: An address in a text. Only ASCII: Japanese and Chinese have no blank in front of an address.
ADDRESS = re.compile(
    r"(?:\"[^\"\n\\]{1,64}\"|[A-Za-z0-9!#$%&*+/=?^_{|}~.-][A-Za-z0-9!#$%&*+/=?^_{|}~.'-]{0,63})"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_-]{1,63}){1,10}|" + _LITERAL + ")"
)
#: An address in a field that holds nothing else: any script (RFC 6531), a domain without a dot.
_ALONE = re.compile(
    r"(?:\"[^\"\n\\]{1,64}\"|[^\s<>()\[\]:;,\"\\@]{1,64})"
    r"@(?:\w[\w-]{0,62}(?:\.[\w-]{1,63}){0,10}|" + _LITERAL + ")"
)
_IN_BRACKETS = re.compile(r"<\s{0,5}([^<>]{1,320}@[^<>\s]{1,255})\s{0,5}>")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_UNICODE_XTEXT = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_MOST_FOUND = 200


def addresses_in(text: str) -> list[str]:
    """Return the addresses of a text in order, each once."""
    if "@" not in text:
        return []
    found: list[str] = []
    for match in ADDRESS.finditer(text):
        address = clean(match[0])
        if address:
            found.append(address)
        if len(found) >= _MOST_FOUND:
            break
    return unique(found)


def clean(address: str) -> str:
    """Return an address without punctuation around it; empty if none is left."""
    address = address.strip().strip("<>' \t").rstrip(".,;:!?-_")
    if address.lower().startswith("mailto:"):
        address = address[7:]
    address = address.lstrip("*-/#!~=|?&")
    local, _, domain = address.rpartition("@")
    if not local or not domain or ".." in domain:
        return ""
    return address


def field_address(value: str) -> str:
    """Return the address of a recipient field such as ``rfc822; <ann@example.com>``.

    Types are ``rfc822``, ``utf-8`` (RFC 6533) and those that servers invent. Returns an empty text
    for an address of another system, such as ``x400``, that names no mailbox with an ``@``.
    """
    kind, semicolon, rest = value.partition(";")
    text = (rest if semicolon and "@" not in kind else value).strip()
    if kind.strip().lower() == "utf-8":
        text = _UNICODE_XTEXT.sub(_character, text)
    bracketed = _IN_BRACKETS.search(text)
    found = _ALONE.search(bracketed[1] if bracketed else text)
    return clean(found[0]) if found else ""


def decode_xtext(address: str) -> str:
    """Return an address whose ``+2B``-like octets are decoded (RFC 3461 section 4)."""
    return _XTEXT.sub(lambda found: chr(int(found[1], 16)), address)


def same(left: str, right: str) -> bool:
    """Return whether two addresses are equal without regard to case."""
    return left.casefold() == right.casefold()


def unique(addresses: Iterable[str]) -> list[str]:
    """Return the addresses in order, each once, without regard to case."""
    found: dict[str, str] = {}
    for address in addresses:
        found.setdefault(address.casefold(), address)
    return list(found.values())


def _character(found: re.Match[str]) -> str:
    point = int(found[1], 16)
    return chr(point) if 0x20 < point < 0x110000 and not 0xD800 <= point < 0xE000 else "?"
