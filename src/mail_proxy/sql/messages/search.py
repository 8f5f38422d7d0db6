"""Search for a text in recipients and subjects, whatever the case in any script.

The databases fold the case of ASCII letters only, or as their locale does. So they look for the
ASCII parts of the text, and the few messages that they find are compared here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, func, or_, select

from mail_proxy.sql import schema

_payload = schema.message_payload.c
_FOREIGN = re.compile(r"[^\x00-\x7f]+")
#: Payloads that are read at once: a list of recipients may have 100 kB.
_AT_ONCE = 100


def may_contain(text: str) -> ColumnElement[bool]:
    """Return the condition that a payload has the ASCII parts of a text.

    Their case does not matter.
    """
    parts = [escaped(part) for part in _FOREIGN.split(text.lower())]
    pattern = f"%{'%'.join(parts)}%"
    columns = (_payload.recipients, _payload.subject)
    return or_(*(func.lower(column).like(pattern, escape="\\") for column in columns))


def containing(connection: Connection, pks: Sequence[str], text: str) -> set[str]:
    """Return the messages that have the whole text, of those found before."""
    if text.isascii():
        return set(pks)
    wanted, found = _folded(text), set()
    for start in range(0, len(pks), _AT_ONCE):
        among = _payload.pk.in_(pks[start : start + _AT_ONCE])
        rows = connection.execute(
            select(_payload.pk, _payload.recipients, _payload.subject).where(among)
        )
        found |= {pk for pk, *texts in rows if any(wanted in _folded(t) for t in texts)}
    return found


def escaped(text: str) -> str:
    """Return a text as a part of a LIKE pattern that stands for itself."""
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return text


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
