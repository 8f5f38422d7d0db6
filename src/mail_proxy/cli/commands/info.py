"""Command ``info``: shows every setting of an instance with its origin."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from mail_proxy.cli.commands.tenants import show_tenant
from mail_proxy.cli.output import print_facts, print_json, print_table, talk, without_password
from mail_proxy.cli.target import Target
from mail_proxy.config import ProxyConfig
from mail_proxy.settings import LoadedConfig, settings

_HIDDEN = "********"
_MADE_ON_FIRST_USE = "alerts.alert_secret"


def info(
    context: typer.Context,
    show_secrets: Annotated[
        bool,
        typer.Option(
            "--show-secrets",
            help="Show tokens and passwords. Makes alert_secret if there is none yet.",
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every setting with its value and its origin; for a tenant, its fields.

    Origins: command line (of the running process), environment (of this command), file
    (config.toml), default, and database for an alert_secret that the service has made.
    """
    target = Target.of(context)
    if target.tenant_id is not None:
        with target.client() as client:
            show_tenant(client.tenants.get(target.tenant_id), json)
        return
    instance = target.instance
    running = instance.find_running()
    options = {**running.options, "port": running.port} if running else {}
    loaded = instance.load_own_config(options, os.environ)
    rows = _rows(loaded, show_secrets)
    if show_secrets and loaded.config.alerts.alert_secret is None:
        row = next(row for row in rows if row["name"] == _MADE_ON_FIRST_USE)
        row.update(value=_made_alert_secret(loaded.config), origin="database")
    facts = {
        "name": instance.name,
        "folder": str(instance.folder),
        "url": running and running.url,
        "token_file": str(instance.token_file),
    }
    if json:
        print_json({**facts, "settings": rows})
        return
    print_facts((name.replace("_", " "), value or "(stopped)") for name, value in facts.items())
    print_table(
        ["Setting", "Value", "Origin"],
        [(row["name"], _text(row["value"]), row["origin"]) for row in rows],
        wrapped=("Value",),
    )
    if not show_secrets:
        talk("[dim]--show-secrets shows the hidden values[/]")


def _rows(loaded: LoadedConfig, show_secrets: bool) -> list[dict[str, Any]]:
    return [
        {
            "name": setting.dotted,
            "value": _shown(loaded.config, setting.dotted, show_secrets),
            "origin": loaded.origins[setting.dotted],
            "variable": setting.variables[0],
        }
        for setting in settings()
    ]


def _shown(config: ProxyConfig, dotted: str, show_secrets: bool) -> Any:
    """Return a setting as JSON can hold it."""
    value: Any = config
    for part in dotted.split("."):
        value = getattr(value, part)
    if isinstance(value, SecretStr):
        return value.get_secret_value() if show_secrets else _HIDDEN
    if dotted == "db_path" and not show_secrets:
        return without_password(value)
    if isinstance(value, tuple):
        return list(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(str(part) for part in value) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _made_alert_secret(config: ProxyConfig) -> str:
    """Return the signing secret of the database; make it if there is none."""
    # Imported only if it is needed, so that the other commands start fast.
    from mail_proxy.features.alerts.table import AlertSecretTable
    from mail_proxy.operations.keys import find_key
    from mail_proxy.sql import SqlDb
    from mail_proxy.sql.migrations import upgrade

    db = SqlDb(config.database_url)
    try:
        key = find_key(config, db)
        upgrade(db, key=key)
        return db.write_now(AlertSecretTable(key).obtain)
    finally:
        db.dispose()
