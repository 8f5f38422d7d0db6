"""Keys of SEARCH (RFC 3501 section 6.4.4) for the IMAP server for tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from mail_proxy.testing.imap_folders import StoredMail
from mail_proxy.testing.imap_syntax import BadCommand, number_set, text_of

Numbered = tuple[int, StoredMail]
_Condition = Callable[[Numbered], bool]
_DAY = "%d-%b-%Y"
_FLAGS = ("SEEN", "DELETED", "ANSWERED", "FLAGGED", "DRAFT")


def found_by(keys: Sequence[Any], mails: Sequence[Numbered], last_uid: int) -> list[Numbered]:
    """Return the mails that all keys describe, with their sequence numbers."""
    rest = list(keys)
    conditions = []
    while rest:
        conditions.append(_condition(rest, len(mails), last_uid))
    return [mail for mail in mails if all(condition(mail) for condition in conditions)]


def _condition(rest: list[Any], last: int, last_uid: int) -> _Condition:
    """Take one key with its arguments off ``rest``."""
    key = text_of(rest.pop(0)).upper()
    if key == "ALL":
        return lambda _: True
    if key == "CHARSET":
        rest.pop(0)
        return lambda _: True
    if key == "NOT":
        inner = _condition(rest, last, last_uid)
        return lambda mail: not inner(mail)
    if key == "UID":
        has_uid = number_set(rest.pop(0), last_uid)
        return lambda mail: has_uid(mail[1].uid)
    if key == "HEADER":
        name, value = text_of(rest.pop(0)), text_of(rest.pop(0))
        return lambda mail: _has_field(mail[1].octets, name, value)
    if key == "SINCE":
        since = datetime.strptime(text_of(rest.pop(0)), _DAY).replace(tzinfo=UTC).timestamp()
        return lambda mail: mail[1].received_at >= since
    if key.removeprefix("UN") in _FLAGS:
        flag, is_set = f"\\{key.removeprefix('UN').capitalize()}", not key.startswith("UN")
        return lambda mail: (flag in mail[1].flags) is is_set
    if key[0].isdigit() or key[0] == "*":
        has_number = number_set(key, last)
        return lambda mail: has_number(mail[0])
    raise BadCommand(f"{key} is not known")


def _has_field(octets: bytes, name: str, value: str) -> bool:
    header = octets.partition(b"\r\n\r\n")[0]
    for line in re.split(rb"\r\n(?![ \t])", header):
        found, _, text = line.partition(b":")
        if found.strip().lower() == name.encode().lower():
            return value.lower().encode() in text.lower()
    return False
