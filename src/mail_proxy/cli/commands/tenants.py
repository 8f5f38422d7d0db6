"""Commands ``tenants``: list, show, add, update, delete, key."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.markup import escape

from mail_proxy.cli.asking import ask, ask_secret, is_bare
from mail_proxy.cli.options import Csv, Force, Json
from mail_proxy.cli.output import (
    moment,
    print_facts,
    print_json,
    print_line,
    print_model,
    print_rows,
    talk,
    waiting,
)
from mail_proxy.cli.target import Target
from mail_proxy.errors import Malformed

if TYPE_CHECKING:
    from mail_proxy.wire.tenants import TenantOut

commands = typer.Typer(help="Organisations that use the instance, and their keys.")
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the tenant.")]


class AuthMethod(StrEnum):
    """Authentication of the proxy to a tenant's application."""

    NONE = "none"
    BEARER = "bearer"
    BASIC = "basic"


ShownName = Annotated[str | None, typer.Option(help="Name to show.")]
BaseUrl = Annotated[
    str | None, typer.Option(help="URL of the tenant's application, which gets reports.")
]
SyncPath = Annotated[
    str | None, typer.Option(help="Path that takes reports.", show_default="/mail-proxy/sync")
]
SyncUrl = Annotated[
    str | None, typer.Option(help="Whole URL that takes reports, in place of these two.")
]
AttachmentPath = Annotated[
    str | None,
    typer.Option(
        help="Path that is called for attachments.", show_default="/mail-proxy/attachments"
    ),
]
AttachmentUrl = Annotated[
    str | None, typer.Option(help="Whole URL that is called for attachments.")
]
Method = Annotated[AuthMethod | None, typer.Option(help="Log-in of the proxy there.")]
Token = Annotated[str | None, typer.Option(help="Token for bearer.")]
User = Annotated[str | None, typer.Option(help="User name for basic.")]
Password = Annotated[str | None, typer.Option(help="Password for basic.")]
Active = Annotated[
    bool | None, typer.Option("--active/--inactive", help="An inactive tenant sends nothing.")
]


@commands.command("list")
def list_(
    context: typer.Context,
    active_only: Annotated[
        bool, typer.Option("--active-only", help="Leave out inactive tenants.")
    ] = False,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """List the tenants."""
    with Target.of(context).client() as client:
        found = client.tenants.list(active_only=active_only)
    columns = ["Id", "Name", "Active", "Key", "Suspended", "Application"]
    rows = [
        (
            tenant.id,
            tenant.name or "",
            "yes" if tenant.active else "no",
            "yes" if tenant.has_api_key else "no",
            ", ".join(tenant.suspended_batches),
            tenant.client_base_url or "",
        )
        for tenant in found
    ]
    print_rows(columns, rows, found, as_json=json, as_csv=csv, cut=("Name", "Application"))


@commands.command()
def show(context: typer.Context, id: Id, json: Json = False) -> None:  # noqa: A002
    """Show a tenant."""
    with Target.of(context).client() as client:
        found = client.tenants.get(id)
    show_tenant(found, json)


@commands.command()
def add(
    context: typer.Context,
    id: Annotated[str | None, typer.Option(help="Id of the tenant.")] = None,  # noqa: A002
    name: ShownName = None,
    base_url: BaseUrl = None,
    sync_path: SyncPath = None,
    sync_url: SyncUrl = None,
    attachment_path: AttachmentPath = None,
    attachment_url: AttachmentUrl = None,
    auth_method: Method = None,
    auth_token: Token = None,
    auth_user: User = None,
    auth_password: Password = None,
    active: Active = None,
    json: Json = False,
) -> None:
    """Add a tenant, and show its key this once. Without options, asks step by step.

    Other users of this machine can see a password among the options; the questions hide it.
    """
    target = Target.of(context)
    auth = _auth(auth_method, auth_token, auth_user, auth_password)
    places = _places(base_url, (sync_path, sync_url), (attachment_path, attachment_url))
    wanted, given = id, _given(name=name, **places, client_auth=auth, active=active)
    if is_bare(context):
        wanted, given = asked_tenant()
    if wanted is None:
        raise Malformed("--id is required; without any option, the command asks")
    with target.client() as client:
        saved = client.tenants.add(wanted, **given)
    if json:
        print_model(saved)
    elif saved.api_key is None:
        talk(f"The tenant {escape(wanted)} was there and is changed")
    else:
        talk(f"Added the tenant [bold]{escape(wanted)}[/]. Its key is shown this once:")
        print_line(saved.api_key)
        talk(f"Next: `mail-proxy {target.instance.name} {escape(wanted)} accounts add`")


@commands.command()
def update(
    context: typer.Context,
    id: Id,  # noqa: A002
    name: ShownName = None,
    base_url: BaseUrl = None,
    sync_path: SyncPath = None,
    sync_url: SyncUrl = None,
    attachment_path: AttachmentPath = None,
    attachment_url: AttachmentUrl = None,
    auth_method: Method = None,
    auth_token: Token = None,
    auth_user: User = None,
    auth_password: Password = None,
    active: Active = None,
    json: Json = False,
) -> None:
    """Change the given fields of a tenant; the others stay."""
    auth = _auth(auth_method, auth_token, auth_user, auth_password)
    places = _places(base_url, (sync_path, sync_url), (attachment_path, attachment_url))
    given = _given(name=name, **places, client_auth=auth, active=active)
    if not given:
        raise Malformed("give the fields to change, such as --name")
    with Target.of(context).client() as client:
        found = client.tenants.update(id, **given)
    show_tenant(found, json)


@commands.command()
def delete(context: typer.Context, id: Id, force: Force = False) -> None:  # noqa: A002
    """Remove a tenant with its messages, accounts and key."""
    if not force:
        talk(f"The tenant {escape(id)} will be removed, with every message and account of it")
        typer.confirm(f"Delete {id}?", abort=True, err=True)
    with Target.of(context).client() as client, waiting(f"Removing {id}"):
        client.tenants.delete(id)
    talk(f"The tenant {escape(id)} is deleted")


@commands.command()
def key(
    context: typer.Context,
    id: Id,  # noqa: A002
    revoke: Annotated[bool, typer.Option("--revoke", help="Revoke the key.")] = False,
    expires_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="The new key ends then: Unix seconds, or ISO 8601 with a zone.",
            show_default="never",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make a new key and show it this once; the previous one stops working."""
    with Target.of(context).client() as client:
        if revoke:
            client.tenants.revoke_key(id)
            talk(f"The key of {escape(id)} does not work any more")
            return
        made = client.tenants.make_key(id, expires_at=expires_at)
    if json:
        print_json({"api_key": made})
    else:
        talk(f"The new key of {escape(id)}, shown this once:")
        print_line(made)


def show_tenant(tenant: TenantOut, as_json: bool) -> None:
    """Print the fields of a tenant."""
    if as_json:
        print_model(tenant)
        return
    facts: dict[str, Any] = tenant.model_dump()
    for name in ("created_at", "updated_at", "api_key_expires_at"):
        facts[name] = moment(facts[name])
    facts["suspended_batches"] = ", ".join(tenant.suspended_batches)
    facts["client_auth"] = tenant.client_auth.get("method")
    facts["rate_limits"] = ", ".join(f"{k} {v}" for k, v in (tenant.rate_limits or {}).items())
    print_facts(
        (name.replace("_", " "), _text(value)) for name, value in facts.items() if value != ""
    )


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _given(**fields: Any) -> dict[str, Any]:
    """Return the fields that are given; an empty URL becomes None, which removes it."""
    known = {name: value for name, value in fields.items() if value is not None}
    return {k: None if k == "client_base_url" and not v else v for k, v in known.items()}


def _places(
    base_url: str | None,
    sync: tuple[str | None, str | None],
    attachment: tuple[str | None, str | None],
) -> dict[str, str | None]:
    """Return URL and paths of an application; a path may be given as a whole URL."""
    bases = {base_url} - {None}
    paths = []
    for option, (path, url) in (("sync", sync), ("attachment", attachment)):
        if url is not None:
            if path is not None:
                raise Malformed(f"give --{option}-path or --{option}-url, not both")
            parts = urlsplit(url)
            bases.add(f"{parts.scheme}://{parts.netloc}")
            path = parts.path or "/"
        paths.append(path)
    if len(bases) > 1:
        raise Malformed("the URLs name different hosts: all begin with --base-url")
    names = ("client_sync_path", "client_attachment_path")
    return {"client_base_url": next(iter(bases), None), **dict(zip(names, paths, strict=True))}


def _auth(
    method: AuthMethod | None, token: str | None, user: str | None, password: str | None
) -> dict[str, Any] | None:
    """Return ``client_auth``, or None if no option is about it."""
    secrets = {"token": token, "user": user, "password": password}
    given = {k: v for k, v in secrets.items() if v is not None}
    if method is None and not given:
        return None
    usual = AuthMethod.BEARER if token is not None else AuthMethod.BASIC
    return {"method": (method or usual).value, **given}


def asked_tenant() -> tuple[str, dict[str, Any]]:
    """Ask for the fields of a new tenant."""
    id_ = ask("Id (letters, digits, dot, dash, underscore)")
    name = ask("Name to show (empty: none)", default="")
    url = ask("URL of its application, for reports (empty: none)", default="")
    auth = None
    if url:
        method = AuthMethod(ask("Log-in of the proxy there", "none", list(AuthMethod)))
        if method is AuthMethod.BEARER:
            auth = _auth(method, ask_secret("Token"), None, None)
        elif method is AuthMethod.BASIC:
            auth = _auth(method, None, ask("User name"), ask_secret("Password"))
    return id_, _given(name=name or None, client_base_url=url or None, client_auth=auth)
