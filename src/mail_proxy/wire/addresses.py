"""Parse mail addresses (RFC 5322 section 3.4, RFC 6531 beyond ASCII)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email

from mail_proxy.domain.mail import Address

# What this matches is valid by RFC 5321; it spares the common address the full check.
_PLAIN = re.compile(
    r"([A-Za-z0-9_%+-]+(?:\.[A-Za-z0-9_%+-]+)*)"
    r"@((?:[A-Za-z0-9](?:[A-Za-z0-9]|-(?!-)){0,62}(?<!-)\.)+[A-Za-z]{2,63})"
)
# Any domain in ASCII that is not IDNA; the library would refuse names of private networks.
_DOMAIN = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9](?:(?:[A-Za-z0-9]|-(?!-)){0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:(?:[A-Za-z0-9]|-(?!-)){0,61}[A-Za-z0-9])?)*"
)
# A phrase, whose quotes may hold angle brackets, or any text without them; then the address, and
# perhaps a comment. Possessive, so that it takes linear time.
_NAMED = re.compile(
    r'((?:[^<>"]++|"(?:[^"\\]++|\\.)*+")*+|[^<>]*+)<([^<>]*+)>\s*+(?:\([^()]*+\)\s*+)?', re.DOTALL
)
_PHRASE_PART = re.compile(r'"((?:[^"\\]|\\.)*)"|\((?:[^()\\]|\\.)*\)|([^"(]+|.)', re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)")
_FORBIDDEN = re.compile(r"[\r\n\0]")
# Possessive, so that it takes linear time; a quote or an angle bracket may stay open to the end.
_QUOTED = r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'
_PART = re.compile(
    rf'[\s,]*+((?:[^",<]++|{_QUOTED}|<(?:[^">]++|{_QUOTED})*+(?:>|\Z))++|\Z)', re.DOTALL
)
_MAX_LOCAL = 64
_MAX_ADDRESS = 254


@lru_cache(maxsize=1024)  # for senders: they are the same in most messages
def parse_mailbox(text: str) -> Address:
    """Parse one ``a@b`` or ``Name <a@b>``; raises ValueError that names the mistake."""
    if _FORBIDDEN.search(text):
        raise ValueError("must not contain CR, LF or NUL")
    named = _NAMED.fullmatch(text)
    if named is None:
        return Address("", _addr_spec(text.strip()))
    return Address(display_name(named[1]), _addr_spec(named[2].strip()))


def display_name(text: str) -> str:
    """Return the words of a phrase (RFC 5322 section 3.2.5), unquoted.

    A text with half of a pair of quotes or brackets is no phrase, and returned as it is.
    """
    if '"' not in text and "(" not in text:
        return text.strip()
    parts = list(_PHRASE_PART.finditer(text))
    if any(part[2] in ('"', "(") for part in parts):
        return text.strip()
    words = [
        _QUOTED_PAIR.sub(r"\1", part[1]) if part[1] is not None else (part[2] or "").strip()
        for part in parts
    ]
    return " ".join([word for word in words if word])


def _addr_spec(text: str) -> str:
    match = _PLAIN.fullmatch(text)
    if match and len(text) <= _MAX_ADDRESS and len(match[1]) <= _MAX_LOCAL:
        return f"{match[1]}@{match[2].lower()}"
    local, at, domain = text.rpartition("@")
    is_plain_domain = _DOMAIN.fullmatch(domain) is not None
    try:
        found = validate_email(
            f"{local}{at}example.com" if is_plain_domain else text,
            check_deliverability=False,
            globally_deliverable=False,
            allow_quoted_local=True,
            allow_domain_literal=True,
        )
    except EmailNotValidError:
        raise ValueError(_why_wrong(text)) from None
    local = found.local_part
    domain = domain.lower() if is_plain_domain else found.ascii_domain or found.domain
    address = f"{local}@{domain}"
    if len(local.encode()) > _MAX_LOCAL or len(address.encode()) > _MAX_ADDRESS:
        raise ValueError(
            f"{_shown(text)} is too long; allowed: {_MAX_LOCAL} octets before the @, "
            f"{_MAX_ADDRESS} in all"
        )
    return address


def is_plain_address(text: str) -> bool:
    """Return whether an address is valid and already in the form that is stored."""
    match = _PLAIN.fullmatch(text)
    return (
        match is not None
        and len(text) <= _MAX_ADDRESS
        and match.end(1) <= _MAX_LOCAL
        and match[2].islower()
    )


def parse_mailboxes(value: list[str] | str | None) -> tuple[Address, ...]:
    """Parse a list of mailboxes, or one text with commas between them."""
    if value is None:
        return ()
    if isinstance(value, str):
        value = list(split_mailboxes(value))
    return tuple(parse_mailbox(text) for text in value)


def split_mailboxes(text: str) -> Iterator[str]:
    """Split at commas that are neither quoted nor inside angle brackets."""
    for part in _PART.finditer(text):
        if part[1]:
            yield part[1].strip()


def comparable(address: str) -> str:
    """Return the form of an address that a suppression list compares.

    Servers may tell local parts of different case apart (RFC 5321 section 2.4), but none is known
    that does so for different people.
    """
    return address.casefold()


def _why_wrong(text: str) -> str:
    """Describe the mistake in an address that is none."""
    local, at, domain = text.rpartition("@")
    if not text:
        return "must not be empty"
    if not at:
        why = "it has no @"
    elif not local or not domain:
        why = f"nothing stands {'behind' if local else 'before'} the @"
    elif "<" in text or ">" in text:
        why = "its angle brackets are not in order"
    elif "@" in local and not local.startswith('"'):
        why = "it has more than one @"
    elif re.search(r"\s", text) and not local.startswith('"'):
        why = "it has a blank"
    elif ".." in text or local.startswith(".") or local.endswith("."):
        why = "its dots are not in order"
    elif len(local.encode()) > _MAX_LOCAL or len(text.encode()) > _MAX_ADDRESS:
        why = f"it is too long; allowed: {_MAX_LOCAL} octets before the @, {_MAX_ADDRESS} in all"
    elif _is_address(f"{local}@example.com"):
        why = f"{_shown(domain)} is not a domain"
    else:
        why = f"{_shown(local)} cannot stand before the @"
    return f"{_shown(text)} is not a mail address: {why}"


def _is_address(text: str) -> bool:
    try:
        validate_email(
            text, check_deliverability=False, globally_deliverable=False, allow_quoted_local=True
        )
    except EmailNotValidError:
        return False
    return True


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
