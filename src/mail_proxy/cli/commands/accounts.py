"""Commands ``accounts``: list, show, add, delete, test."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from mail_proxy.cli.asking import ask, ask_number, ask_secret, is_bare
from mail_proxy.cli.commands import account_auth
from mail_proxy.cli.options import Csv, Force, Json
from mail_proxy.cli.output import (
    moment,
    print_facts,
    print_model,
    print_rows,
    print_table,
    talk,
    waiting,
)
from mail_proxy.cli.target import Target
from mail_proxy.errors import Malformed

if TYPE_CHECKING:
    from mail_proxy.client import MailProxyClient
    from mail_proxy.wire.accounts import AccountOut

commands = typer.Typer(help="SMTP accounts that messages are sent through.")
Id = Annotated[str, typer.Argument(metavar="ID", help="Name of the account.")]
_PORTS = {"ssl": 465, "starttls": 587, "auto": 587, "none": 25}


class Tls(StrEnum):
    """Encryption of the connection to a mail server."""

    AUTO = "auto"
    STARTTLS = "starttls"
    SSL = "ssl"
    NONE = "none"


@commands.command("list")
def list_(context: typer.Context, json: Json = False, csv: Csv = False) -> None:
    """List the accounts; without a tenant, those of all."""
    with Target.of(context).client() as client:
        found = client.accounts.list()
    columns = ["Tenant", "Id", "Server", "TLS", "User", "Limits", "Health"]
    rows = [
        (
            account.tenant_id,
            account.id,
            f"{account.host}:{account.port}",
            account.tls,
            account.user or "",
            _limits(account),
            account.health,
        )
        for account in found
    ]
    print_rows(columns, rows, found, as_json=json, as_csv=csv, cut=("Server", "User"))
    if not found and not json and not csv:
        talk(f"Next: `{Target.of(context).words} accounts add`")


@commands.command()
def show(context: typer.Context, id: Id, json: Json = False) -> None:  # noqa: A002
    """Show an account; its password is not shown."""
    with Target.of(context).client() as client:
        found = client.accounts.get(id)
    if json:
        print_model(found)
        return
    facts: dict[str, Any] = found.model_dump()
    facts["auth"] = ", ".join(f"{k} {v}" for k, v in facts["auth"].items() if v is not None)
    for name in ("created_at", "updated_at"):
        facts[name] = moment(facts[name])
    print_facts((name.replace("_", " "), _text(value)) for name, value in facts.items())


@commands.command()
def add(
    context: typer.Context,
    id: Annotated[str | None, typer.Option(help="Name of the account.")] = None,  # noqa: A002
    host: Annotated[str | None, typer.Option(help="SMTP server.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port.", show_default="587")] = None,
    user: Annotated[
        str | None, typer.Option("--user", "--username", help="User name; none: no log-in.")
    ] = None,
    password: Annotated[
        str | None,
        typer.Option(help="Password. Other users of this machine can see it while this runs."),
    ] = None,
    ask_password: Annotated[
        bool, typer.Option("--ask-password", help="Ask for the password, and hide it.")
    ] = False,
    tls: Annotated[Tls | None, typer.Option(help="Encryption.", show_default="auto")] = None,
    use_tls: Annotated[
        bool | None, typer.Option("--use-tls", help="Older form of --tls starttls.")
    ] = None,
    use_ssl: Annotated[
        bool | None, typer.Option("--use-ssl", help="Older form of --tls ssl.")
    ] = None,
    limit_minute: Annotated[int | None, typer.Option(min=0, help="Messages a minute.")] = None,
    limit_hour: Annotated[
        int | None, typer.Option("--limit-hour", "--hourly-limit", min=0, help="Messages an hour.")
    ] = None,
    limit_day: Annotated[
        int | None, typer.Option("--limit-day", "--daily-limit", min=0, help="Messages a day.")
    ] = None,
    pec: Annotated[
        bool | None, typer.Option("--pec/--no-pec", help="Italian certified mail (PEC).")
    ] = None,
    imap_host: Annotated[
        str | None, typer.Option(help="IMAP server with the receipts of a PEC account.")
    ] = None,
    imap_port: Annotated[int | None, typer.Option(help="Its TCP port.", show_default="993")] = None,
    imap_user: Annotated[str | None, typer.Option(help="Default: that of SMTP.")] = None,
    imap_password: Annotated[str | None, typer.Option(help="Default: that of SMTP.")] = None,
    imap_folder: Annotated[
        str | None, typer.Option(help="Folder of the receipts.", show_default="INBOX")
    ] = None,
    imap_tls: Annotated[Tls | None, typer.Option(help="Its encryption.")] = None,
    default: Annotated[
        bool | None, typer.Option("--default", help="Use it for messages that name no account.")
    ] = None,
    json: Json = False,
) -> None:
    """Add an account, or change fields of one. Without options, asks step by step."""
    target = Target.of(context)
    given: dict[str, Any] = {
        "id": id,
        "host": host,
        "port": port,
        "user": user,
        "password": ask_secret("Password") if ask_password else password,
        "tls": tls and tls.value,
        "use_tls": use_tls,
        "use_ssl": use_ssl,
        "limit_per_minute": limit_minute,
        "limit_per_hour": limit_hour,
        "limit_per_day": limit_day,
        "is_default": default,
        "is_pec_account": pec,
        "imap_host": imap_host,
        "imap_port": imap_port,
        "imap_user": imap_user,
        "imap_password": imap_password,
        "imap_folder": imap_folder,
        "imap_tls": imap_tls and imap_tls.value,
    }
    asks = is_bare(context)
    if asks:
        given = asked_account()
    fields = {name: value for name, value in given.items() if value is not None}
    if "id" not in fields:
        raise Malformed("--id is required; without any option, the command asks")
    with target.client() as client:
        saved = client.accounts.add(**fields)
        if json:
            print_model(saved)
        else:
            talk(f"Saved the account [bold]{escape(saved.id)}[/]")
        if asks and typer.confirm("Test it now?", default=True, err=True):
            _test(client, saved.id, None, json)
        elif not json:
            talk(f"Next: `{target.words} accounts test {escape(saved.id)}`")


@commands.command()
def delete(context: typer.Context, id: Id, force: Force = False) -> None:  # noqa: A002
    """Remove an account. Its queued messages end in error and are reported."""
    if not force:
        talk(f"The account {escape(id)} will be removed; its queued messages end in error")
        typer.confirm(f"Delete {id}?", abort=True, err=True)
    with Target.of(context).client() as client:
        client.accounts.delete(id)
    talk(f"The account {escape(id)} is deleted")


@commands.command()
def test(
    context: typer.Context,
    id: Id,  # noqa: A002
    to: Annotated[str | None, typer.Option(help="Also send a test mail to this address.")] = None,
    json: Json = False,
) -> None:
    """Connect, log in and quit. A good test ends the account's pause.

    Exit code 1 if a step failed.
    """
    with Target.of(context).client() as client:
        _test(client, id, to, json)


commands.command()(account_auth.auth)
commands.command()(account_auth.authorize)


def _test(client: MailProxyClient, id_: str, to: str | None, as_json: bool) -> None:
    with waiting(f"Testing {id_}"):
        result = client.accounts.test(id_, to=to)
    if as_json:
        print_model(result)
    else:
        print_table(
            ["Step", "Result", "ms", "Answer"],
            [
                (step.step, "ok" if step.ok else "failed", f"{step.ms:.0f}", step.detail)
                for step in result.steps
            ],
            wrapped=("Answer",),
        )
        for step in result.steps:
            if step.hint:
                talk(f"[yellow]{escape(step.hint)}[/]")
        if result.resumed:
            talk(f"{result.resumed} messages go on")
    if not result.ok:
        raise typer.Exit(1)


def _limits(account: AccountOut) -> str:
    limits = (
        (account.limit_per_minute, "min"),
        (account.limit_per_hour, "h"),
        (account.limit_per_day, "d"),
    )
    return " ".join(f"{limit}/{unit}" for limit, unit in limits if limit)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def asked_account() -> dict[str, Any]:
    """Ask for the fields of an account."""
    given: dict[str, Any] = {"id": ask("Name of the account", "smtp"), "host": ask("SMTP server")}
    given["tls"] = ask("Encryption", "auto", list(Tls))
    given["port"] = ask_number("Port", _PORTS[given["tls"]])
    user = ask("User name (empty: no log-in)", default="")
    if user:
        given.update(user=user, password=ask_secret("Password"))
    return given
