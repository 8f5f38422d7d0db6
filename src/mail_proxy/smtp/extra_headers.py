"""Header lines that the client names, each by its grammar (``header_fields``).

Only words in a field are encoded (RFC 2047 section 5): never an address, a message id, a URI or a
token. Every function raises ``ValueError`` with the header's name for a value that the grammar
does not allow, or that fits into no line of 998 octets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from email.utils import parsedate_to_datetime

from mail_proxy.domain.header_fields import HEADER_FIELDS, Grammar, HeaderField
from mail_proxy.smtp.headers import (
    MAX_LINE,
    address_header,
    encoded_words,
    fold,
    phrase,
    refuse_injection,
    text_header,
)
from mail_proxy.wire.addresses import display_name, parse_mailboxes

_FIELD_NAME = re.compile(r"[!-9;-~]{1,900}")
_BLANKS = re.compile(r"[ \t]+")
_PRINTABLE = re.compile(r"[ -~]*")
_MESSAGE_ID = re.compile(r"<[^<>\s]+>|[^<>\s,]+")
_BARE_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>,()]+")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-;=?-~]+")
_URI_PART = re.compile(r"<([^<>]*)>|\(((?:[^()\\]|\\.)*)\)|(,)|([^\s<>(),]+|.)")
_LIST_ID = re.compile(r'((?:[^<>"]++|"(?:[^"\\]++|\\.)*+")*+)<([^<>]*)>')
_DOT_ATOM = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
_LONGEST_LIST_ID = 255
#: RFC 5322 leaves it open where base64 is folded; 64 is what PEM does.
_BASE64_UNIT = re.compile(r"[A-Za-z0-9+/=]{64}(?=[A-Za-z0-9+/=])")
_QUOTED_PAIR = re.compile(r"\\(.)")
_LONGEST_SHOWN = 60


def extra_header(name: str, value: str) -> str:
    """Write a header that the client has named, folded."""
    field = HEADER_FIELDS.get(name.lower())
    if field is None or field.grammar is Grammar.TEXT:
        if _FIELD_NAME.fullmatch(name) is None:
            raise ValueError(f"header {name[:100]!r}: not a field name")
        return text_header(name, value)
    refuse_injection(name, value)
    value = value.strip(" \t")
    if not value:
        raise ValueError(f"header {name}: must not be empty")
    if field.grammar in (Grammar.MAILBOX, Grammar.MAILBOXES):
        return _short_enough(name, _mailboxes(name, value, field))
    if field.grammar is not Grammar.LIST_ID:
        value = _BLANKS.sub(" ", value)
    body = _WRITERS[field.grammar](name, value, field)
    return _short_enough(name, fold(f"{name}: {body}"))


def check_extra_headers(headers: Iterable[tuple[str, str]]) -> None:
    """Raise ValueError for the first header that cannot be written, as delivery would."""
    for name, value in headers:
        extra_header(name, value)


def _short_enough(name: str, lines: str) -> str:
    if len(lines) >= MAX_LINE:
        longest = max(len(line.encode()) for line in lines.split("\r\n"))
        if longest > MAX_LINE:
            raise ValueError(
                f"header {name}: needs a line of {longest} octets, because it can be folded at "
                f"blanks only; allowed: {MAX_LINE}"
            )
    return lines


def _mailboxes(name: str, value: str, field: HeaderField) -> str:
    try:
        addresses = parse_mailboxes(value)
    except ValueError as error:
        raise ValueError(f"header {name}: {error}") from None
    if not addresses or (field.grammar is Grammar.MAILBOX and len(addresses) != 1):
        raise ValueError(f"header {name}: {len(addresses)} addresses; allowed: 1")
    return address_header(name, addresses)


def _message_ids(name: str, value: str, field: HeaderField) -> str:
    _refuse_non_ascii(name, value)
    rest = _MESSAGE_ID.sub("", value).strip(" ,")
    found = [_angled(name, text) for text in _MESSAGE_ID.findall(value)]
    if rest or not found or (field.grammar is Grammar.MESSAGE_ID and len(found) != 1):
        amount = "one message id" if field.grammar is Grammar.MESSAGE_ID else "message ids"
        raise ValueError(f"header {name}: must be {amount}, such as <left@right>")
    return " ".join(found)


def _angled(name: str, text: str) -> str:
    if text.startswith("<"):
        return text
    if "@" not in text:
        raise ValueError(f"header {name}: {text[:_LONGEST_SHOWN]!r} is not a message id")
    return f"<{text}>"


def _uris(name: str, value: str, field: HeaderField) -> str:
    if _BARE_URI.fullmatch(value) is not None:
        value = f"<{value}>"
    items: list[str] = [""]
    for part in _URI_PART.finditer(value):
        if part[1] is not None:
            items = [*items, ""] if "<" in items[-1] else items
            items[-1] += f" <{_uri(name, part[1].strip())}>"
        elif part[2] is not None:
            items[-1] += f" {_comment(name, part[2])}"
        elif part[3] is not None:
            items.append("")
        elif part[4] in field.words and items == [""]:
            items[-1] = part[4]
        elif part[4].strip():
            raise ValueError(f"header {name}: URIs go in angle brackets, as <https://...>")
    written = [item.strip() for item in items if item.strip()]
    if not any("<" in item or item.partition(" ")[0] in field.words for item in written):
        raise ValueError(f"header {name}: needs a URI in angle brackets, as <https://...>")
    return ", ".join(written)


def _uri(name: str, text: str) -> str:
    if _URI.fullmatch(text) is None:
        raise ValueError(
            f"header {name}: {text[:_LONGEST_SHOWN]!r} is not a URI in ASCII without blanks; "
            "other characters are percent-encoded"
        )
    return text


def _comment(name: str, text: str) -> str:
    meant = _QUOTED_PAIR.sub(r"\1", text)
    if _PRINTABLE.fullmatch(meant) is not None and "=?" not in meant:
        return f"({text})"
    return f"({encoded_words(name, meant)})"


def _list_id(name: str, value: str, field: HeaderField) -> str:
    named = _LIST_ID.fullmatch(value)
    words, identifier = (named[1], named[2].strip()) if named is not None else ("", value)
    if _DOT_ATOM.fullmatch(identifier) is None or len(identifier) > _LONGEST_LIST_ID:
        raise ValueError(
            f"header {name}: must be a name and <list.example.org>, in ASCII, at most "
            f"{_LONGEST_LIST_ID} octets"
        )
    words = display_name(words)
    return f"{phrase(name, words)} <{identifier}>" if words else f"<{identifier}>"


def _phrases(name: str, value: str, field: HeaderField) -> str:
    return ", ".join([phrase(name, display_name(text)) for text in value.split(",")])


def _date(name: str, value: str, field: HeaderField) -> str:
    try:
        parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        raise ValueError(
            f"header {name}: must be a date such as Tue, 14 Nov 2023 22:13:20 +0000"
        ) from None
    return _tokens(name, value, field)


def _tokens(name: str, value: str, field: HeaderField) -> str:
    _refuse_non_ascii(name, value)
    if field.words and value not in field.words:
        raise ValueError(f"header {name}: must be {' or '.join(field.words)}")
    return value


def _base64(name: str, value: str, field: HeaderField) -> str:
    return _BASE64_UNIT.sub(r"\g<0> ", _tokens(name, value, field))


def _refuse_non_ascii(name: str, value: str) -> None:
    if _PRINTABLE.fullmatch(value) is None:
        raise ValueError(f"header {name}: must be printable ASCII")


_WRITERS: dict[Grammar, Callable[[str, str, HeaderField], str]] = {
    Grammar.MESSAGE_ID: _message_ids,
    Grammar.MESSAGE_IDS: _message_ids,
    Grammar.URIS: _uris,
    Grammar.LIST_ID: _list_id,
    Grammar.PHRASES: _phrases,
    Grammar.DATE: _date,
    Grammar.TOKENS: _tokens,
    Grammar.BASE64: _base64,
}
