"""Filter line of messages, such as ``to:bob status:error after:2026-11-27``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from mail_proxy.domain.message import MessageState
from mail_proxy.domain.waiting import WaitReason
from mail_proxy.wire.messages import MessageOut, MessageQuery
from mail_proxy.wire.mistakes import malformed, mistake

#: Words of the line; all others are searched for in recipients and subject.
KEYS = (
    *("to", "from", "subject", "id", "status", "waiting"),
    *("account", "batch", "code", "error", "before", "after"),
)
_LONGEST = 500
_WORD = re.compile(r'(?:(\w+):)?("[^"]*"|\S+)')
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class LineFilter:
    """A filter line that was read.

    ``fields`` are those of ``MessageQuery``. ``tests`` look at what the API cannot filter by.
    """

    line: str
    fields: dict[str, Any]
    tests: Sequence[Callable[[MessageOut], bool]] = field(default=())

    @property
    def is_empty(self) -> bool:
        """True if the filter lets every message through."""
        return not self.fields and not self.tests

    def query(self, limit: int, cursor: str | None) -> MessageQuery:
        """Return the request for one page; raises ValidationError."""
        return MessageQuery(**self.fields, limit=limit, cursor=cursor or None)

    def passing(self, found: Iterable[MessageOut]) -> list[MessageOut]:
        """Return the messages that pass all tests."""
        return [message for message in found if all(test(message) for test in self.tests)]


def read_line(line: str) -> LineFilter:
    """Read a filter line; raises Malformed for a word that it cannot have."""
    line = " ".join(line[:_LONGEST].split())
    fields: dict[str, Any] = {}
    tests: list[Callable[[MessageOut], bool]] = []
    texts: list[str] = []
    for key, value in _WORD.findall(line):
        text = value.strip('"')
        if not text:
            continue
        if key.lower() in KEYS:
            _add(key.lower(), text, fields, tests)
        else:
            texts.append(f"{key}:{text}" if key else text)
    if texts:
        fields["q"] = " ".join(texts)
    return LineFilter(line, fields, tuple(tests))


def word(key: str, value: str) -> str:
    """Return a word of a line, in quotes if it needs them."""
    plain = value.replace('"', "")
    return f'{key}:"{plain}"' if " " in plain else f"{key}:{plain}"


def _add(
    key: str, text: str, fields: dict[str, Any], tests: list[Callable[[MessageOut], bool]]
) -> None:
    if key in ("to", "subject"):
        # The API searches recipients and subject together; here only one of them counts.
        fields.setdefault("q", text)
        tests.append(_having(key, text))
    elif key in ("from", "error"):
        tests.append(_having(key, text))
    elif key in ("before", "after"):
        fields["to_ts" if key == "before" else "from_ts"] = _time(key, text)
    elif key == "status":
        fields["status"] = [_one_of(key, part, MessageState) for part in text.split(",")]
    elif key == "waiting":
        fields["waiting"] = _one_of(key, text, WaitReason)
    elif key == "code":
        fields["code"] = text
    else:
        fields[{"account": "account_id", "batch": "batch_code", "id": "id"}[key]] = text


def _one_of(key: str, text: str, allowed: type[MessageState] | type[WaitReason]) -> Any:
    try:
        return allowed(text.lower())
    except ValueError:
        raise malformed(mistake(key, f"allowed: {', '.join(allowed)}", text[:40])) from None


def _having(key: str, text: str) -> Callable[[MessageOut], bool]:
    wanted = text.casefold()

    def test(message: MessageOut) -> bool:
        if key == "to":
            return any(wanted in a.casefold() for a in (*message.to, *message.cc, *message.bcc))
        texts = {"subject": message.subject, "from": message.sender, "error": message.error}
        return wanted in " ".join((texts[key] or "").split()).casefold()

    return test


def _time(key: str, text: str) -> float:
    """Return the Unix seconds of a day or an ISO time.

    ``before`` a day means until its start.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        message = "must be a day such as 2026-11-27, or an ISO time"
        raise malformed(mistake(key, message, text[:40])) from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if key == "before":
        # The API takes whole seconds and includes the last one.
        at -= timedelta(seconds=1)
    return max(0.0, at.timestamp())
