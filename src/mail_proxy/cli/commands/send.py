"""Command ``send``: queues a message from a file, as it is."""

from __future__ import annotations

import base64
import sys
import time
import uuid
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from mail_proxy.cli.asking import ask
from mail_proxy.cli.message_story import standing
from mail_proxy.cli.options import Json
from mail_proxy.cli.output import print_json, print_model, talk, waiting
from mail_proxy.cli.target import Target
from mail_proxy.errors import MailProxyError, Malformed, NothingUsable

if TYPE_CHECKING:
    from mail_proxy.client import MailProxyClient, Message, RawMessage
    from mail_proxy.wire.messages import MessageOut

#: Larger files are cut, and then refused: the service has limits of its own.
_MOST_BYTES = 256_000_000
_POLL_SECONDS = 0.5
_STANDARD_INPUT = "-"


class Priority(StrEnum):
    """Priority of a message."""

    IMMEDIATE = "immediate"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


def send(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE.eml",
            help="A message (RFC 5322); `-`: standard input. Without it, the command asks.",
            show_default=False,
        ),
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="Account to send through.", show_default="the default one")
    ] = None,
    priority: Annotated[Priority | None, typer.Option(help="Priority.")] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(help="Recipient, in place of To, Cc and Bcc; several times."),
    ] = None,
    id: Annotated[  # noqa: A002
        str | None, typer.Option(help="Id of the message.", show_default="a new one")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its outcome.")] = False,
    timeout: Annotated[
        float, typer.Option(min=1, max=604_800, help="Longest time of --wait, seconds.")
    ] = 3600,
    json: Json = False,
) -> None:
    """Queue a message from a file; its parts, images and headers stay as they are.

    Without a file, asks for sender, recipients, subject and text, and follows the message. With
    --wait, exit code 1 if it is given up, or has no outcome in time.
    """
    target = Target.of(context)
    is_running = target.instance.find_running() is not None
    if wait and not is_running:
        name = target.instance.name
        raise MailProxyError(f"{name} is not running; `mail-proxy start {name} --background`")
    message = _message(id or f"send-{uuid.uuid4().hex}", file, to)
    message["account_id"] = account
    message["priority"] = priority.value if priority else None
    wait = wait or (file is None and is_running)
    with target.client() as client:
        _add(client, message, file or "the message")
        found = client.messages.get(message["id"])
        if wait:
            found = _followed(client, found, timeout)
    if json:
        print_model(found) if wait else print_json({"id": found.id, "status": found.status})
    else:
        talk(f"{escape(found.id)}: {escape(standing(found))}")
    if wait and found.status != "sent":
        raise typer.Exit(1)
    if not json and not wait:
        _show_next_step(target, found.id, is_running)


def asked_message(id_: str) -> Message:
    """Ask for sender, recipients, subject and text of a message."""
    sender, to = ask("From"), ask("To (several: separated by commas)")
    return {
        "id": id_,
        "from": sender,
        "to": to,
        "subject": ask("Subject"),
        "body": f"{ask('Text')}\n",
    }


def _message(id_: str, file: str | None, to: list[str] | None) -> Message | RawMessage:
    if file is None:
        return asked_message(id_)
    raw: RawMessage = {"id": id_, "raw": base64.b64encode(_read(file)).decode()}
    if to:
        raw["to"] = to
    return raw


def _add(client: MailProxyClient, message: Message | RawMessage, file: str) -> None:
    try:
        answer = client.messages.add([message])
    except NothingUsable as error:
        (rejected,) = error.detail["rejected"]
        raise Malformed(f"{file}: {rejected['reason']}") from None
    for duplicate in answer.duplicates:
        talk(f"A message with this id was there already: {duplicate.status}")


def _followed(client: MailProxyClient, found: MessageOut, timeout: float) -> MessageOut:
    """Return the message once it is sent or given up, or as it is after the time."""
    end = time.monotonic() + timeout
    with waiting(f"{found.id}: {standing(found)}") as spinner:
        while found.status not in ("sent", "error") and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
            found = client.messages.get(found.id, tenant_id=found.tenant_id)
            spinner.update(escape(f"{found.id}: {standing(found)}"))
    return found


def _show_next_step(target: Target, id_: str, is_running: bool) -> None:
    if is_running:
        talk(f"Next: `{target.words} messages show {escape(id_)}`")
    else:
        talk(f"It is sent after `mail-proxy start {target.instance.name}`")


def _read(file: str) -> bytes:
    try:
        if file == _STANDARD_INPUT:
            return sys.stdin.buffer.read(_MOST_BYTES)
        with Path(file).open("rb") as stream:
            return stream.read(_MOST_BYTES)
    except OSError as error:
        raise MailProxyError(f"{file}: {error.strerror}") from None
