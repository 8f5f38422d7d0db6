"""Commands ``bounces``: show, set, test, reload the bounce mailbox."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mail_proxy.cli.asking import ask, ask_number, ask_secret, is_bare
from mail_proxy.cli.options import Json
from mail_proxy.cli.output import moment, print_facts, print_model, talk, waiting
from mail_proxy.cli.target import Target

if TYPE_CHECKING:
    from mail_proxy.client import MailProxyClient

commands = typer.Typer(help="The mailbox that mail comes back to.")
_PORTS = {"ssl": 993, "starttls": 143, "none": 143}


class Tls(StrEnum):
    """Encryption of the connection to the IMAP server."""

    SSL = "ssl"
    STARTTLS = "starttls"
    NONE = "none"


@commands.command()
def show(context: typer.Context, json: Json = False) -> None:
    """Show the bounce mailbox, and if it can be read; its password is not shown."""
    with Target.of(context).client() as client:
        found = client.bounces.get()
    if json:
        print_model(found)
        return
    facts: dict[str, Any] = found.model_dump()
    state = facts.pop("state")
    facts["last read"] = moment(state["checked_ts"])
    facts["error"] = state["error"]
    facts["error since"] = moment(state["error_since_ts"])
    print_facts((name.replace("_", " "), _text(value)) for name, value in facts.items())
    if not found.enabled:
        talk(f"Next: `{Target.of(context).words} bounces set`")


@commands.command("set")
def set_(
    context: typer.Context,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Watch the mailbox, or do not.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="IMAP server.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port.", show_default="993")] = None,
    user: Annotated[str | None, typer.Option("--user", "--username", help="User name.")] = None,
    password: Annotated[
        str | None,
        typer.Option(help="Password. Other users of this machine can see it while this runs."),
    ] = None,
    ask_password: Annotated[
        bool, typer.Option("--ask-password", help="Ask for the password, and hide it.")
    ] = False,
    folder: Annotated[str | None, typer.Option(help="Folder.", show_default="INBOX")] = None,
    tls: Annotated[Tls | None, typer.Option(help="Encryption.", show_default="ssl")] = None,
    poll_interval: Annotated[
        int | None, typer.Option(help="Longest time between two looks, seconds.")
    ] = None,
    return_path: Annotated[
        str | None, typer.Option(help="Envelope sender of messages that name none.")
    ] = None,
    after_processing: Annotated[
        str | None, typer.Option(help="Bounces: delete, seen or move:FOLDER.")
    ] = None,
    detect_replies: Annotated[
        bool | None,
        typer.Option("--detect-replies/--no-detect-replies", help="Record answers of people."),
    ] = None,
    json: Json = False,
) -> None:
    """Change fields of the bounce mailbox. Without options, asks step by step."""
    fields: dict[str, Any] = {
        "enabled": enabled,
        "imap_host": host,
        "imap_port": port,
        "imap_user": user,
        "imap_password": password,
        "imap_folder": folder,
        "imap_tls": None if tls is None else tls.value,
        "poll_interval": poll_interval,
        "return_path": return_path,
        "after_processing": after_processing,
        "detect_replies": detect_replies,
    }
    bare = is_bare(context)
    with Target.of(context).client() as client:
        if bare:
            fields = _asked(client)
        elif ask_password:
            fields["imap_password"] = ask_secret("Password")
        saved = client.bounces.update(**{k: v for k, v in fields.items() if v is not None})
    if json:
        print_model(saved)
        return
    watched = "is watched" if saved.enabled else "is saved, and not watched"
    talk(f"The bounce mailbox {watched}. `{Target.of(context).words} bounces test` tries it")


@commands.command()
def test(context: typer.Context, json: Json = False) -> None:
    """Log in to the bounce mailbox and open its folder. Exit code 1 if that fails."""
    with Target.of(context).client() as client, waiting("Testing the bounce mailbox"):
        found = client.bounces.test()
    if json:
        print_model(found)
    elif found.ok:
        talk(f"The bounce mailbox works; mails in the folder: {found.messages}")
    else:
        talk(f"[bold red]{found.stage}[/]: {found.error}")
    if not found.ok:
        raise typer.Exit(1)


@commands.command()
def reload(context: typer.Context) -> None:
    """Connect to the bounce mailbox again, and read it now."""
    with Target.of(context).client() as client:
        client.bounces.reload()
    talk("The bounce mailbox is opened again")


def _asked(client: MailProxyClient) -> dict[str, Any]:
    """Ask for the fields of the mailbox; the answers so far are the defaults."""
    old = client.bounces.get()
    host = ask("IMAP server", old.imap_host)
    tls = ask("Encryption", old.imap_tls, [each.value for each in Tls])
    port = ask_number("Port", old.imap_port if old.imap_host else _PORTS[tls])
    user = ask("User name", old.imap_user)
    password = ask_secret("Password" + (" (empty: as it is)" if old.imap_password else ""))
    return_path = ask("Envelope sender of messages", old.return_path or user)
    return {
        "enabled": True,
        "imap_host": host,
        "imap_tls": tls,
        "imap_port": port,
        "imap_user": user,
        "imap_password": password or None,
        "return_path": return_path,
    }


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
