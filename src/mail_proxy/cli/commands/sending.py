"""Commands ``run-now``, ``suspend`` and ``activate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mail_proxy.cli.options import Json
from mail_proxy.cli.output import print_model, talk
from mail_proxy.cli.target import Target
from mail_proxy.errors import MailProxyError

if TYPE_CHECKING:
    from mail_proxy.wire.suspension import SuspensionOut

Batch = Annotated[
    str | None, typer.Argument(metavar="[BATCH]", help="One batch; without it, everything.")
]


def run_now(context: typer.Context, json: Json = False) -> None:
    """Deliver and report what is due now. For one tenant, its do-not-disturb ends."""
    target = Target.of(context)
    if target.instance.find_running() is None:
        name = target.instance.name
        raise MailProxyError(f"{name} is not running; `mail-proxy start {name}` delivers")
    with target.client() as client:
        answer = client.commands.run_now()
    if json:
        print_model(answer)
    else:
        talk("Dispatcher and reporter are awake")


def suspend(context: typer.Context, batch: Batch = None, json: Json = False) -> None:
    """Stop sending for a tenant, or for one of its batches."""
    target = Target.of(context)
    with target.client() as client:
        answer = client.commands.suspend(batch)
    _print(answer, json, "is suspended", "wait")
    if not json:
        words = f"{target.words} activate" + (f" {batch}" if batch else "")
        talk(f"Resume with `{words}`")


def activate(context: typer.Context, batch: Batch = None, json: Json = False) -> None:
    """Resume sending for a tenant, or for one of its batches."""
    with Target.of(context).client() as client:
        answer = client.commands.activate(batch)
    _print(answer, json, "is active", "go on")


def _print(answer: SuspensionOut, as_json: bool, state: str, effect: str) -> None:
    if as_json:
        print_model(answer)
        return
    what = f"Batch {answer.batch_code}" if answer.batch_code else "Everything"
    talk(f"{what} of {answer.tenant_id} {state}; {answer.pending_messages} messages {effect}")
    if answer.suspended_batches:
        talk(f"Suspended now: {', '.join(answer.suspended_batches)}")
