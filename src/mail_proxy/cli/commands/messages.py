"""Commands ``messages``: list, show, replies, delete, retry, cleanup."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mail_proxy.cli.message_story import print_story, save_replies, story
from mail_proxy.cli.options import Csv, Json
from mail_proxy.cli.output import moment, print_json, print_model, print_rows, talk, waiting
from mail_proxy.cli.target import Target

if TYPE_CHECKING:
    from mail_proxy.wire.messages import MessageOut

commands = typer.Typer(help="Messages: waiting, sent, and given up.")
Id = Annotated[str, typer.Argument(metavar="ID", help="The application's id of the message.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of the messages.")]
_PAGE = 1000
_TIME = "Unix seconds, or ISO 8601 with a zone."
_FIELDS = (
    *(
        "tenant_id",
        "id",
        "status",
        "account_id",
        "batch_code",
        "priority",
        "sender",
        "to",
        "subject",
    ),
    *("created_ts", "deferred_ts", "sent_ts", "error_ts", "retry_count", "error"),
)


class State(StrEnum):
    """Status of a message."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    DEFERRED = "deferred"
    ERROR = "error"


@commands.command("list")
def list_(
    context: typer.Context,
    status: Annotated[
        list[State] | None, typer.Option(help="Only these; may be given several times.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="Only messages of this account.")] = None,
    batch: Annotated[str | None, typer.Option(help="Only messages of this batch.")] = None,
    waiting_for: Annotated[
        str | None,
        typer.Option("--waiting", metavar="REASON", help="Only those that wait for this reason."),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option("--search", "-q", metavar="TEXT", help="Part of a recipient or the subject."),
    ] = None,
    code: Annotated[int | None, typer.Option(help="SMTP code of the last error.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help=f"Taken in since: {_TIME}")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Taken in up to this second.")
    ] = None,
    oldest: Annotated[bool, typer.Option("--oldest", help="The oldest first.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="Most messages to show.")
    ] = 100,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """List messages, the newest first; without a tenant, those of all."""
    with Target.of(context).client() as client:
        found = client.messages.iterate(
            status=[state.value for state in status or ()] or None,
            account_id=account,
            batch_code=batch,
            waiting=waiting_for,
            q=search,
            code=code,
            from_ts=since,
            to_ts=until,
            order="oldest" if oldest else None,
            # One more shows whether there are others.
            limit=min(_PAGE, limit + 1),
        )
        messages = list(islice(found, limit + 1))
    shown = messages[:limit]
    if csv:
        print_rows(_FIELDS, map(_values, shown), shown, as_json=False, as_csv=True)
    else:
        _print(shown, json)
    if len(messages) > limit:
        talk(f"There are more; --limit {limit} leaves them out")
    elif not shown and not json and not csv:
        talk("No message; `messages list` without filters shows all")


@commands.command()
def show(context: typer.Context, id: Id, json: Json = False) -> None:  # noqa: A002
    """Show all that is known of one message: times, attempts, answers, reports."""
    with Target.of(context).client() as client:
        message = client.messages.get(id)
        events = client.messages.events(id, tenant_id=message.tenant_id)
    if json:
        print_json(story(message, events))
    else:
        print_story(message, events)


@commands.command()
def receipts(
    context: typer.Context,
    id: Id,  # noqa: A002
    save: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write each receipt into this folder.")
    ] = None,
    json: Json = False,
) -> None:
    """List the receipts of a certified message (PEC), the oldest first."""
    with Target.of(context).client() as client:
        message = client.messages.get(id)
        found = client.messages.receipts(id, tenant_id=message.tenant_id)
        if save is not None:
            save.mkdir(parents=True, exist_ok=True)
            for each in found:
                octets = client.messages.receipt(id, each.sha256, tenant_id=message.tenant_id)
                (save / f"{each.sha256}.eml").write_bytes(octets)
    columns = ["When", "Receipt", "Recipient", "Signature", "SHA-256"]
    rows = [
        (
            moment(each.receipt_ts),
            each.receipt_type,
            each.recipient or "",
            each.signature,
            each.sha256,
        )
        for each in found
    ]
    print_rows(columns, rows, found, as_json=json, as_csv=False, cut=("SHA-256",))
    if save is not None:
        talk(f"Written to {save}: {len(found)}")


@commands.command()
def replies(
    context: typer.Context,
    id: Id,  # noqa: A002
    save: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write the whole mails into this folder."),
    ] = None,
    json: Json = False,
) -> None:
    """Show the answers of people to one message."""
    with Target.of(context).client() as client:
        found = client.messages.replies(id)
    columns = ["Received", "Sender", "Subject", "Text"]
    rows = [(moment(r.reply_ts), r.sender, r.subject, " ".join(r.excerpt.split())) for r in found]
    print_rows(columns, rows, found, as_json=json, as_csv=False, cut=("Subject", "Text"))
    if save is not None:
        talk(f"{save_replies(found, save)} mails written to {save}")


@commands.command()
def delete(context: typer.Context, ids: Ids, json: Json = False) -> None:
    """Remove messages; those that are being sent stay.

    Exit code 1 if one of them was not removed.
    """
    with Target.of(context).client() as client:
        answer = client.messages.delete(ids)
    if json:
        print_model(answer)
    else:
        talk(f"{answer.removed} removed")
        _name("not found", answer.not_found)
        _name("of another tenant", answer.unauthorized)
        _name("being sent now, so they stay", answer.in_progress)
    if answer.removed < len(set(ids)):
        raise typer.Exit(1)


@commands.command()
def retry(
    context: typer.Context,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of the messages.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="All of this account.")] = None,
    batch: Annotated[str | None, typer.Option(help="All of this batch.")] = None,
    error_like: Annotated[
        str | None, typer.Option(metavar="TEXT", help="All with this in their error.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help=f"Taken in since: {_TIME}")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Taken in up to this second.")
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Deferred messages as well.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    json: Json = False,
) -> None:
    """Put messages in error back into the queue. All given filters have to hold."""
    with Target.of(context).client() as client, waiting("Putting messages back"):
        answer = client.messages.retry(
            ids or None,
            account_id=account,
            batch_code=batch,
            error_like=error_like,
            from_ts=since,
            to_ts=until,
            now=now,
            dry_run=dry_run,
        )
    if json:
        print_model(answer)
        return
    talk(f"{answer.requeued} {'would be' if dry_run else 'are'} in the queue again")
    _name("not found", answer.not_found)
    _name("not in error", answer.not_failed)


@commands.command()
def cleanup(
    context: typer.Context,
    older_than: Annotated[
        float | None,
        typer.Option(
            "--older-than",
            "--older-than-seconds",
            metavar="SECONDS",
            min=0,
            help="Reported longer ago than this.",
            show_default="the retention",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Remove finished messages whose every event was reported long enough ago."""
    with Target.of(context).client() as client, waiting("Removing finished messages"):
        answer = client.messages.cleanup(older_than)
    if json:
        print_model(answer)
    else:
        talk(f"{answer.removed} removed")


def _print(messages: Sequence[MessageOut], as_json: bool) -> None:
    tenants = {message.tenant_id for message in messages}
    columns = ["Id", "Status", "To", "Subject", "Taken in", "Why"]
    rows = [
        (
            message.id if len(tenants) < 2 else f"{message.tenant_id} {message.id}",
            message.status,
            _recipients(message),
            message.subject,
            moment(message.created_ts)[2:16],
            message.waiting.reason if message.waiting else message.error or "",
        )
        for message in messages
    ]
    print_rows(columns, rows, messages, as_json=as_json, as_csv=False, cut=("To", "Subject", "Why"))


def _recipients(message: MessageOut) -> str:
    everybody = [*message.to, *message.cc, *message.bcc]
    more = f" +{len(everybody) - 1}" if len(everybody) > 1 else ""
    return f"{everybody[0]}{more}" if everybody else ""


def _values(message: MessageOut) -> list[object]:
    values = (getattr(message, name) for name in _FIELDS)
    return [", ".join(value) if isinstance(value, list) else value for value in values]


def _name(what: str, ids: Sequence[str]) -> None:
    if ids:
        talk(f"{what}: {', '.join(ids)}")
