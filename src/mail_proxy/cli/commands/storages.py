"""Commands ``storages``: list, show, add, delete."""

from __future__ import annotations

from typing import Annotated

import typer

from mail_proxy.cli.asking import ask_secret
from mail_proxy.cli.options import Csv, Json
from mail_proxy.cli.output import print_json, print_model, print_rows, talk
from mail_proxy.cli.target import Target
from mail_proxy.errors import Malformed

commands = typer.Typer(help="Named places of attachments, such as buckets.")
Name = Annotated[str, typer.Argument(metavar="STORAGE", help="Name of the storage.")]


@commands.command("list")
def list_(context: typer.Context, json: Json = False, csv: Csv = False) -> None:
    """List the storages; without a tenant, those of all."""
    with Target.of(context).client() as client:
        found = client.storages.list()
    columns = ["Tenant", "Name", "Protocol", "Configuration"]
    rows = [(one.tenant_id, one.name, one.protocol, _words(one.config or {})) for one in found]
    print_rows(columns, rows, found, as_json=json, as_csv=csv, cut=("Configuration",))


@commands.command()
def show(context: typer.Context, name: Name) -> None:
    """Show a storage as JSON, secrets masked."""
    with Target.of(context).client() as client:
        found = client.storages.get(name)
    print_json(found.model_dump(mode="json"))


@commands.command()
def add(
    context: typer.Context,
    name: Name,
    protocol: Annotated[
        str | None, typer.Option(help="local, s3, gcs, azure, or another one of fsspec.")
    ] = None,
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="Field of the configuration; several times."
        ),
    ] = None,
    secrets: Annotated[
        list[str] | None,
        typer.Option("--ask", metavar="FIELD", help="Ask for this field, and hide the answer."),
    ] = None,
    json: Json = False,
) -> None:
    """Add a storage, or change one. Fields: bucket, prefix, key, secret, base_path."""
    config = dict(_pair(text) for text in fields or ())
    config.update({field: ask_secret(field) for field in secrets or ()})
    target = Target.of(context)
    with target.client() as client:
        saved = client.storages.add(name, protocol=protocol, config=config or None)
    if json:
        print_model(saved)
    else:
        talk(f"Saved the storage {name}")


@commands.command()
def delete(context: typer.Context, name: Name) -> None:
    """Remove a storage; its files stay."""
    with Target.of(context).client() as client:
        client.storages.delete(name)
    talk(f"The storage {name} is deleted")


def _pair(text: str) -> tuple[str, str]:
    field, found, value = text.partition("=")
    if not found:
        raise Malformed(f"--set {text}: write FIELD=VALUE")
    return field, value


def _words(config: dict[str, object]) -> str:
    return ", ".join(f"{field}={value}" for field, value in config.items())
