"""Command ``top``: the live state of an instance."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mail_proxy.cli.output import made_table, print_json, printable
from mail_proxy.cli.target import Target
from mail_proxy.errors import MailProxyError

if TYPE_CHECKING:
    from mail_proxy.client import MailProxyClient
    from mail_proxy.wire.accounts import AccountOut
    from mail_proxy.wire.service import Status
    from mail_proxy.wire.stats import StatsOut

_HOUR_SECONDS = 3600
_SHOWN = 15
_COUNTERS = ("queued", "sent", "deferred", "error", "reported")


def top(
    context: typer.Context,
    interval: Annotated[
        float, typer.Option(min=0.5, max=3600, help="Time between two looks, seconds.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Look once, and print JSON.")] = False,
) -> None:
    """Watch the queue, the rates of this hour and accounts in trouble until Ctrl-C."""
    target = Target.of(context)
    if target.instance.find_running() is None:
        name = target.instance.name
        raise MailProxyError(f"{name} is not running; `mail-proxy start {name} --background`")
    console = Console()
    with target.client() as client:
        look = _Look(client)
        if json:
            print_json(look.as_json())
        elif once or not console.is_terminal:
            console.print(look.screen(target.instance.name))
        else:
            try:
                with Live(console=console, screen=True, auto_refresh=False) as live:
                    while True:
                        live.update(look.screen(target.instance.name), refresh=True)
                        time.sleep(interval)
                        look = _Look(client)
            except KeyboardInterrupt:
                pass


class _Look:
    """State of the service at one moment."""

    def __init__(self, client: MailProxyClient) -> None:
        self.status: Status = client.instance.status(full=True)
        begin = time.time() - _HOUR_SECONDS
        self.rows: list[StatsOut] = list(client.stats.iterate(from_ts=begin, by="account"))
        self.accounts: list[AccountOut] = client.accounts.list()

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        return {
            "status": self.status.model_dump(mode="json", exclude_unset=True),
            "stats": [row.model_dump(mode="json") for row in self.rows],
            "accounts": [
                account.model_dump(mode="json")
                for account in self.accounts
                if account.health != "ok"
            ],
        }

    def screen(self, name: str) -> Group:
        """Return what is shown on the screen."""
        return Group(self._head(name), self._waiting(), self._rates(), self._troubles())

    def _head(self, name: str) -> Text:
        status = self.status
        oldest = status.oldest_due_seconds
        parts = [
            f"{name}  {time.strftime('%H:%M:%S')}",
            f"{status.pending_messages} waiting",
            "nothing is due" if oldest is None else f"oldest due for {oldest:.0f} s",
            "sending" if status.scheduler_active else "dispatcher off",
        ]
        return Text("   ".join(parts), "bold")

    def _waiting(self) -> Text:
        reasons = [f"{reason} {count}" for reason, count in (self.status.waiting or {}).items()]
        return Text("waits for: " + (", ".join(reasons) or "nothing"), "dim")

    def _rates(self) -> Table:
        counts: dict[tuple[str, str], list[int]] = {}
        for row in self.rows:
            found = counts.setdefault((row.tenant_id, row.account_id or ""), [0] * len(_COUNTERS))
            for place, counter in enumerate(_COUNTERS):
                found[place] += getattr(row, counter)
        busiest = sorted(counts.items(), key=lambda item: -item[1][1])
        return made_table(
            ["This hour", *(name.capitalize() for name in _COUNTERS)],
            [
                (f"{tenant} {account}", *map(str, found))
                for (tenant, account), found in busiest[:_SHOWN]
            ],
        )

    def _troubles(self) -> Group:
        paused = [account for account in self.accounts if account.health != "ok"]
        table = made_table(
            ["In trouble", "Server", "Why"],
            [
                (f"{one.tenant_id} {one.id}", f"{one.host}:{one.port}", one.last_error or "")
                for one in paused[:_SHOWN]
            ],
            wrapped=("Why",),
        )
        listed = {one.id for one in paused}
        notes = [
            Text(printable(trouble.text), "yellow")
            for trouble in self.status.attention or ()
            if trouble.account_id not in listed
        ]
        return Group(*([table] if paused else []), *notes[:_SHOWN])
