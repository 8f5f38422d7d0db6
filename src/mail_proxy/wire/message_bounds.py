"""Bounds of one message, checked before its addresses and headers are parsed.

Without them a single message could occupy the service for minutes: parsing an address takes up to
half a millisecond, and an encoded header about as long for each kilobyte.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from mail_proxy.domain.long_text import LONGEST_PLAIN_TEXT, LongText, pieces_of
from mail_proxy.wire.addresses import split_mailboxes
from mail_proxy.wire.json_steps import LONGEST_STRING

#: In To, Cc and Bcc together, and as many in Reply-To.
MOST_RECIPIENTS = 1000
#: An address with its name, octets: a longer one fits into no header line (RFC 5322, 2.1.1).
LONGEST_MAILBOX = 998
#: Octets.
LONGEST_SUBJECT = 4000
#: Octets of ``body``, and of ``body_html``. Most servers refuse larger mails.
LONGEST_TEXT = 25_000_000
#: Characters of an attachment that is given as base64: a longer text may have been cut.
LONGEST_BASE64 = LONGEST_STRING
#: Of one message. Readers show lists of attachments as a whole.
MOST_ATTACHMENTS = 100
#: Characters of ``raw``: a longer text may have been cut when it was parsed.
LONGEST_RAW = LONGEST_STRING
#: Headers that the client names.
MOST_HEADERS = 100
#: Octets of their names and values together.
LONGEST_HEADERS = 64_000
#: Fields of a message; the documented ones are fewer.
_MOST_FIELDS = 50
_LONGEST_SHOWN = 40
#: Characters that are encoded at once.
_PIECE = 262_144
#: The one mistake here that is no bound.
NOT_TEXTS = "must be texts"


def beyond_bounds(record: Any) -> tuple[str, str] | None:
    """Return the first bound that a message breaks, or None.

    It is the field, and a text with value and limit.

    Values of a wrong type are left to the validation that follows.
    """
    if not isinstance(record, dict) or _is_ordinary(record):
        return None
    if len(record) > _MOST_FIELDS:
        return "", f"{len(record)} fields; allowed: {_MOST_FIELDS}"
    for field, bound in _BOUNDS.items():
        value = record.get(field)
        found = None if value is None else bound(value)
        if found is not None:
            return field, found
    return _too_long(record) or _too_many_recipients(record)


def _is_ordinary(record: dict[str, Any]) -> bool:
    """Return True for a message with one recipient and short texts, as most are."""
    to, subject, sender = record.get("to"), record.get("subject"), record.get("from")
    body = record.get("body", "")
    if type(to) is list and len(to) == 1:
        to = to[0]
    return (
        len(record) <= _MOST_FIELDS
        and _RARE.isdisjoint(record)
        and (type(to) is str and len(to) * 4 <= LONGEST_MAILBOX)
        and (type(sender) is str and len(sender) * 4 <= LONGEST_MAILBOX)
        and (type(subject) is str and len(subject) * 4 <= LONGEST_SUBJECT)
        and (type(body) is str and len(body) * 4 <= LONGEST_TEXT)
    )


def _too_long(record: dict[str, Any]) -> tuple[str, str] | None:
    for field, value in record.items():
        if isinstance(value, LongText) and _BOUNDS.get(field) not in (_text, _raw):
            return field, f"{len(value)} characters; allowed: at most {LONGEST_PLAIN_TEXT}"
    return None


def _too_many_recipients(record: dict[str, Any]) -> tuple[str, str] | None:
    counts = (len(_mailboxes(record.get(name))) for name in ("to", "cc", "bcc"))
    total = sum(counts)
    if total <= MOST_RECIPIENTS:
        return None
    return "to, cc, bcc", f"{_more_than(total)} recipients; allowed: {MOST_RECIPIENTS}"


def _more_than(count: int) -> str:
    return f"{count}" if count <= MOST_RECIPIENTS else f"more than {MOST_RECIPIENTS}"


def _mailboxes(value: Any) -> list[Any]:
    """Return the first mailboxes of a field, one more than are allowed at most."""
    if isinstance(value, str):
        return list(islice(split_mailboxes(value), MOST_RECIPIENTS + 1))
    return value[: MOST_RECIPIENTS + 1] if isinstance(value, list) else []


def _list_of_mailboxes(value: Any) -> str | None:
    mailboxes = _mailboxes(value)
    if len(mailboxes) > MOST_RECIPIENTS:
        count = len(value) if isinstance(value, list) else f"more than {MOST_RECIPIENTS}"
        return f"{count} addresses; allowed: {MOST_RECIPIENTS}"
    for text in mailboxes:
        # One wrong type is enough: the validation would list every one.
        found = _mailbox(text) if isinstance(text, str | LongText) else NOT_TEXTS
        if found is not None:
            return found
    return None


def _octets(most: int) -> Callable[[Any], str | None]:
    def bound(value: Any) -> str | None:
        # No character takes more than four octets: the usual short text is not encoded.
        if not isinstance(value, str | LongText) or len(value) * 4 <= most:
            return None
        size = _size(value)
        return None if size <= most else f"{shown(value)} has {size} octets; allowed: {most}"

    return bound


def _text(value: Any) -> str | None:
    if not isinstance(value, str | LongText) or len(value) * 4 <= LONGEST_TEXT:
        return None
    if len(value) > LONGEST_TEXT or _size(value) > LONGEST_TEXT:
        return f"more than {LONGEST_TEXT} octets; allowed: {LONGEST_TEXT}"
    return None


def _raw(value: Any) -> str | None:
    if not isinstance(value, str | LongText) or len(value) <= LONGEST_RAW:
        return None
    return f"more than {LONGEST_RAW} characters; allowed: {LONGEST_RAW}"


_mailbox = _octets(LONGEST_MAILBOX)


def _headers(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    if len(value) > MOST_HEADERS:
        return f"{len(value)} headers; allowed: {MOST_HEADERS}"
    size = sum(_size(name) + _size(text) for name, text in value.items())
    return None if size <= LONGEST_HEADERS else f"{size} octets; allowed: {LONGEST_HEADERS}"


def _attachments(value: Any) -> str | None:
    if not isinstance(value, list) or len(value) <= MOST_ATTACHMENTS:
        return None
    return f"{len(value)} attachments; allowed: {MOST_ATTACHMENTS}"


def _size(value: Any) -> int:
    if not isinstance(value, str | LongText):
        return 0
    return sum(len(piece.encode(errors="replace")) for piece in pieces_of(value, _PIECE))


def shown(value: str | LongText) -> str:
    """Return the beginning of a value, quoted, for an error text."""
    if isinstance(value, LongText):
        value = value.pieces[0]
    return repr(value if len(value) <= _LONGEST_SHOWN else value[: _LONGEST_SHOWN - 3] + "...")


_RARE = frozenset(
    {
        *("return_path", "message_id", "cc", "bcc", "reply_to", "headers", "body_html"),
        *("attachments", "raw", "raw_path"),
    }
)
_BOUNDS: dict[str, Callable[[Any], str | None]] = {
    "subject": _octets(LONGEST_SUBJECT),
    "from": _mailbox,
    "return_path": _mailbox,
    "message_id": _mailbox,
    "to": _list_of_mailboxes,
    "cc": _list_of_mailboxes,
    "bcc": _list_of_mailboxes,
    "reply_to": _list_of_mailboxes,
    "headers": _headers,
    "attachments": _attachments,
    "body": _text,
    "body_html": _text,
    "raw": _raw,
    "raw_path": _raw,
}
