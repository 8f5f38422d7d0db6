"""All that is known of one message, as text and as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from mail_proxy.cli.output import moment, print_facts, print_table
from mail_proxy.errors import MailProxyError

if TYPE_CHECKING:
    from mail_proxy.wire.messages import EventOut, MessageOut
    from mail_proxy.wire.replies import ReplyOut

_COLOURS = {"sent": "green", "error": "red", "deferred": "yellow"}
_PRIORITIES = ("immediate", "high", "medium", "low")


def story(message: MessageOut, events: Sequence[EventOut]) -> dict[str, Any]:
    """Return a message and its events as JSON can hold them."""
    return {
        "message": message.model_dump(mode="json", by_alias=True),
        "events": [event.model_dump(mode="json") for event in events],
    }


def print_story(message: MessageOut, events: Sequence[EventOut]) -> None:
    """Print the state of a message, its recipients' answers, its events and reports."""
    print_facts(_facts(message))
    if message.recipients:
        print_table(
            ["Recipient", "Status", "Code", "Answer of the server"],
            [
                (
                    str(one.get("address", "")),
                    _coloured(str(one.get("status", ""))),
                    str(one.get("code") or ""),
                    str(one.get("response") or ""),
                )
                for one in message.recipients
            ],
            wrapped=("Answer of the server",),
        )
    print_table(
        ["When", "Event", "Reported", "Detail"],
        [
            (
                moment(event.event_ts),
                _coloured(event.event_type),
                moment(event.reported_ts) or ("-" if event.event_type == "queued" else "not yet"),
                _detail(event),
            )
            for event in events
        ],
        wrapped=("Detail",),
    )


def _facts(message: MessageOut) -> Iterator[tuple[str, str | Text]]:
    yield "message", f"{message.id} (tenant {message.tenant_id}, account {message.account_id})"
    yield "status", Text(standing(message), _COLOURS.get(message.status, ""))
    if message.error:
        yield "error", message.error
    yield "from", message.sender
    for name in ("to", "cc", "bcc"):
        if addresses := getattr(message, name):
            yield name, ", ".join(addresses)
    yield "subject", message.subject
    yield "taken in", moment(message.created_ts)
    if message.expires_ts:
        yield "not sent after", moment(message.expires_ts)
    if message.batch_code:
        yield "batch", message.batch_code
    yield "priority", _PRIORITIES[message.priority] if message.priority < 4 else "?"
    if message.retry_count:
        yield "failed attempts", str(message.retry_count)
    yield "Message-ID", message.message_id


def standing(message: MessageOut) -> str:
    """Return one sentence on how a message stands."""
    if message.status == "sent":
        return f"sent: the mail server took it at {moment(message.sent_ts)}"
    if message.status == "error":
        return f"error: given up at {moment(message.error_ts)}"
    waiting = message.waiting
    if waiting is None:
        return message.status
    until = f" until {moment(waiting.until)}" if waiting.until else ""
    detail = f": {waiting.detail}" if waiting.detail else ""
    return f"{message.status}, waits ({waiting.reason}){until}{detail}"


def _detail(event: EventOut) -> str:
    data = {k: v for k, v in event.event_data.items() if v is not None and k != "recipients"}
    reason = data.pop("deferred_reason", None) or data.pop("error", None)
    if "retry_ts" in data:
        data["next attempt"] = moment(data.pop("retry_ts"))
    code = data.pop("code", None)
    if reason and code and str(code) not in str(reason):
        reason = f"{code} {reason}"
    rest = ", ".join(
        f"{k} {v if isinstance(v, str | int) else json.dumps(v)}" for k, v in data.items()
    )
    return "; ".join(str(part) for part in (reason, rest) if part)


def _coloured(word: str) -> Text:
    return Text(word, _COLOURS.get(word.replace("failed", "error"), ""))


def save_replies(replies: Sequence[ReplyOut], folder: Path) -> int:
    """Write the mails of replies to numbered files; return the number of files.

    Raises MailProxyError if a file cannot be written. No file is overwritten.
    """
    mails = [base64.b64decode(reply.raw) for reply in replies if reply.raw is not None]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, mail in enumerate(mails, 1):
            with (folder / f"reply-{number}.eml").open("xb") as file:
                file.write(mail)
    except OSError as error:
        raise MailProxyError(f"{folder}: cannot be written: {error}") from None
    return len(mails)
