"""Commands ``list``, ``status`` and ``delete``."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.text import Text

from mail_proxy.cli import control
from mail_proxy.cli.commands.lifecycle import Name
from mail_proxy.cli.instance import Instance, home_folder
from mail_proxy.cli.output import print_facts, print_json, print_table, talk, without_password
from mail_proxy.errors import ConfigError, MailProxyError

#: Exit codes of ``status``.
_STOPPED, _NOT_READY = 3, 4
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def list_(json: Json = False) -> None:
    """List the instances of this machine's user."""
    found = [_describe(instance) for instance in Instance.all(os.environ)]
    if json:
        print_json(found)
    elif not found:
        talk(f"No instance in {escape(str(home_folder(os.environ)))}")
        talk("`mail-proxy start NAME` makes an instance")
    else:
        print_table(
            ["Name", "State", "Address", "Pid", "Database"],
            [
                (d["name"], _state(d), d["url"] or "", str(d["pid"] or ""), d["database"] or "")
                for d in found
            ],
        )
    for one in found:
        if one["error"]:
            talk(f"[yellow]{one['name']}:[/] {escape(one['error'])}")


def status(name: Name, json: Json = False) -> None:
    """Show whether an instance runs and is ready, and how many messages wait.

    Exit codes: 0 ready, 3 stopped or died, 4 not ready.
    """
    instance = Instance.existing(name, os.environ)
    described = _describe(instance)
    running = instance.find_running()
    if running is None:
        reason = "its process ended without a stop" if instance.has_died() else "it was stopped"
        described.update(ready=False, reason=reason)
    else:
        reason = control.why_not_ready(running)
        described.update(ready=not reason, reason=reason or None)
        try:
            service = control.service_status(running, instance.token())
        except MailProxyError as error:
            described["error"] = error.message
        else:
            described.update({k: v for k, v in service.items() if k not in ("ok", "database")})
    if json:
        print_json(described)
    else:
        print_facts(
            (key.replace("_", " "), _words(value))
            for key, value in _for_people(described).items()
            if value is not None
        )
    if not described["ready"]:
        raise typer.Exit(_STOPPED if running is None else _NOT_READY)


def delete(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove an instance with its settings, token, key and SQLite database."""
    instance = Instance.existing(name, os.environ)
    instance.refuse_while_running(f"`mail-proxy stop {name}` first")
    if not force:
        talk(f"{escape(str(instance.folder))} will be removed, with every message in it")
        typer.confirm(f"Delete {name}?", abort=True, err=True)
    instance.delete()
    talk(f"{name} is deleted")


def _describe(instance: Instance) -> dict[str, Any]:
    """Describe an instance from its folder, without calling the service."""
    running = instance.find_running()
    described: dict[str, Any] = {
        "name": instance.name,
        "state": "running" if running else "died" if instance.has_died() else "stopped",
        "url": running and running.url,
        "pid": running and running.pid,
        "folder": str(instance.folder),
        "database": running and running.database,
        "error": None,
    }
    if running is None:
        try:
            db_path = instance.load_config(None, os.environ).config.db_path
            described["database"] = without_password(db_path)
        except ConfigError as error:
            # A mistake in one instance's file must not hide the others.
            described["error"] = error.message
    return described


def _state(described: dict[str, Any]) -> Text:
    if described["state"] != "running":
        return Text(described["state"], "dim" if described["state"] == "stopped" else "red")
    if described.get("ready") is False:
        return Text("running, not ready", "yellow")
    return Text("running", "green")


def _for_people(described: dict[str, Any]) -> dict[str, Any]:
    shown = {**described, "state": _state(described)}
    if "uptime_seconds" in shown:
        shown["uptime"] = timedelta(seconds=round(shown.pop("uptime_seconds")))
    return shown


def _words(value: Any) -> str | Text:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, Text) else str(value)
