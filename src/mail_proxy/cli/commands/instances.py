"""Commands ``list``, ``status`` and ``delete``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.text import Text

from mail_proxy.cli import control
from mail_proxy.cli.commands.lifecycle import Name
from mail_proxy.cli.instance import Instance
from mail_proxy.cli.names import home_folder
from mail_proxy.cli.options import Json
from mail_proxy.cli.output import print_facts, print_json, print_table, talk, without_password
from mail_proxy.errors import ConfigError, MailProxyError

#: Exit codes of ``status``.
_STOPPED, _NOT_READY, _NEEDS_ATTENTION = 3, 4, 5


def list_(json: Json = False) -> None:
    """List the instances of this machine's user."""
    found = [_looked_at(instance) for instance in Instance.all(os.environ)]
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
            cut=("Database",),
        )
    for one in found:
        if one["error"]:
            talk(f"[yellow]{one['name']}:[/] {escape(one['error'])}")


def status(name: Name, json: Json = False) -> None:
    """Show whether an instance is ready, what waits, and what needs attention.

    Exit codes: 0 all is well, 3 stopped or died, 4 not ready, 5 needs attention.
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
        print_facts(_for_people(described))
        for trouble in described.get("attention") or ():
            talk(f"[yellow]Needs attention:[/] {escape(_trouble(trouble))}")
    if not described["ready"]:
        raise typer.Exit(_STOPPED if running is None else _NOT_READY)
    if described.get("attention") or described["error"]:
        raise typer.Exit(_NEEDS_ATTENTION)


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


def _looked_at(instance: Instance) -> dict[str, Any]:
    """Describe an instance; if it runs, with the number of its troubles."""
    described = {**_describe(instance), "attention": None}
    running = instance.find_running()
    if running is not None:
        try:
            service = control.service_status(running, instance.token())
        except MailProxyError as error:
            described["error"] = error.message
        else:
            described["attention"] = len(service["attention"])
    return described


def _state(described: dict[str, Any]) -> Text:
    if described["state"] != "running":
        return Text(described["state"], "dim" if described["state"] == "stopped" else "red")
    if described.get("ready") is False:
        return Text("running, not ready", "yellow")
    if described.get("attention"):
        return Text("running, needs attention", "yellow")
    if described["error"]:
        return Text("running, no answer", "red")
    return Text("running", "green")


def _for_people(described: dict[str, Any]) -> Iterator[tuple[str, str | Text]]:
    """Yield what is shown of an instance, as names and words."""
    for name, value in {**described, "state": _state(described)}.items():
        if value is None or name == "attention":
            continue
        if name == "uptime_seconds":
            yield "uptime", str(timedelta(seconds=round(value)))
        elif name == "processes":
            yield name, ", ".join(f"{one['host']} {one['pid']}" for one in value) or "none"
        elif isinstance(value, dict):
            yield name.replace("_", " "), _parts(value)
        else:
            yield name.replace("_", " "), _words(value)


def _parts(value: dict[str, Any]) -> str:
    known = {name.replace("_", " "): part for name, part in value.items() if part is not None}
    return ", ".join(f"{name} {_words(part)}" for name, part in known.items()) or "none"


def _words(value: Any) -> str | Text:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    return value if isinstance(value, Text) else str(value)


def _trouble(trouble: dict[str, Any]) -> str:
    since, waiting = trouble.get("since_ts"), trouble.get("waiting")
    parts = [trouble["text"]]
    if since is not None:
        when = datetime.fromtimestamp(since).astimezone()
        parts.append(f"since {when.strftime('%Y-%m-%d %H:%M')}")
    if waiting:
        parts.append(f"{waiting} messages wait")
    return "; ".join(parts)
