"""Commands ``accounts auth`` and ``accounts authorize``: how an account logs in."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from mail_proxy.cli.asking import ask_secret
from mail_proxy.cli.output import talk
from mail_proxy.cli.target import Target
from mail_proxy.errors import MailProxyError

if TYPE_CHECKING:
    from mail_proxy.wire.account_auth import AccountAuthOut

Id = Annotated[str, typer.Argument(metavar="ID", help="Name of the account.")]
ClientSecret = Annotated[
    str | None,
    typer.Option(
        help="Secret of the application. Other users of this machine can see it while this runs."
    ),
]
AskClientSecret = Annotated[
    bool, typer.Option("--ask-client-secret", help="Ask for the application's secret, and hide it.")
]


class Method(StrEnum):
    """Kind of log-in of an account."""

    PASSWORD = "password"  # noqa: S105 - the name of a method
    NONE = "none"
    OAUTH2 = "oauth2"


class Provider(StrEnum):
    """Provider whose token server an account uses."""

    MICROSOFT = "microsoft"
    GOOGLE = "google"
    CUSTOM = "custom"


class Grant(StrEnum):
    """Way in which access tokens are obtained."""

    CLIENT_CREDENTIALS = "client_credentials"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the name of a grant
    SERVICE_ACCOUNT = "service_account"


def auth(
    context: typer.Context,
    id: Id,  # noqa: A002
    method: Annotated[Method, typer.Option(help="Kind of log-in.")] = Method.OAUTH2,
    provider: Annotated[Provider | None, typer.Option(help="Provider, for oauth2.")] = None,
    grant: Annotated[Grant | None, typer.Option(help="How tokens are obtained.")] = None,
    client_id: Annotated[str | None, typer.Option(help="Id of the application.")] = None,
    client_secret: ClientSecret = None,
    ask_client_secret: AskClientSecret = False,
    directory: Annotated[str | None, typer.Option(help="Directory (tenant) of Microsoft.")] = None,
    token_url: Annotated[
        str | None, typer.Option(help="Token server.", show_default="the provider's")
    ] = None,
    scope: Annotated[str | None, typer.Option(help="Scope.", show_default="the provider's")] = None,
    subject: Annotated[
        str | None,
        typer.Option(help="Mailbox of a service account.", show_default="the user"),
    ] = None,
    private_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Key of a service account: PEM, or Google's JSON file."),
    ] = None,
) -> None:
    """Set how an account logs in: with its password, not at all, or with OAuth2."""
    given: dict[str, Any] = {
        "provider": provider and provider.value,
        "grant": grant and grant.value,
        "client_id": client_id,
        "client_secret": ask_secret("Client secret") if ask_client_secret else client_secret,
        "tenant": directory,
        "token_url": token_url,
        "scope": scope,
        "subject": subject,
        **(_key_of(private_key, client_id) if private_key else {}),
    }
    fields: Any = {"method": method.value}
    fields |= {name: value for name, value in given.items() if value is not None}
    with Target.of(context).client() as client:
        client.accounts.add(id=id, auth=fields)
    talk(f"Saved the log-in of [bold]{escape(id)}[/]")
    words = f"{Target.of(context).words} accounts"
    next_step = "authorize" if grant is Grant.REFRESH_TOKEN else "test"
    talk(f"Next: `{words} {next_step} {escape(id)}`")


def authorize(
    context: typer.Context,
    id: Id,  # noqa: A002
    client_secret: ClientSecret = None,
    ask_client_secret: AskClientSecret = False,
    device_url: Annotated[
        str | None,
        typer.Option(help="Device authorization (RFC 8628).", show_default="the provider's"),
    ] = None,
    authorize_url: Annotated[
        str | None,
        typer.Option(help="Authorization page (RFC 8252).", show_default="the provider's"),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Longest wait.")] = 900.0,
) -> None:
    """Let the owner of a mailbox allow its use, and store the refresh token.

    Microsoft shows a code to enter on a page (device flow). Google opens a page in the browser of
    this machine (loopback flow). The account needs `auth` with the grant refresh_token.
    """
    from mail_proxy.cli import authorization
    from mail_proxy.domain.oauth2 import token_endpoint

    with Target.of(context).client() as client:
        account = client.accounts.get(id)
        known = account.auth
        if known.method != "oauth2" or known.grant != "refresh_token":
            raise MailProxyError("the account has no auth with the grant refresh_token")
        secret = ask_secret("Client secret") if ask_client_secret else client_secret
        flow = authorization.Flow(
            provider=known.provider or "",
            client_id=known.client_id or "",
            client_secret=secret,
            token_url=token_endpoint(known.model_dump()),
            scope=known.scope,
            login_hint=account.user,
            device_url=device_url,
            authorize_url=authorize_url,
            opens_browser=browser,
            seconds=seconds,
        )
        refresh_token = authorization.obtain(flow, talk)
        client.accounts.add(id=id, auth=_with_token(known, refresh_token, secret))
    talk(f"The account [bold]{escape(id)}[/] is authorized")
    talk(f"Next: `{Target.of(context).words} accounts test {escape(id)}`")


def _with_token(known: AccountAuthOut, refresh_token: str, secret: str | None) -> Any:
    given = {**known.model_dump(exclude_none=True), "refresh_token": refresh_token}
    return {**given, "client_secret": secret} if secret else given


def _key_of(file: Path, client_id: str | None) -> dict[str, Any]:
    """Return the key in a file, with the account's address from a JSON file of Google."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise MailProxyError(f"{file}: cannot be read: {error}") from None
    if not text.lstrip().startswith("{"):
        return {"private_key": text}
    try:
        found = json.loads(text)
        return {
            "private_key": found["private_key"],
            "client_id": client_id or found["client_email"],
        }
    except (ValueError, KeyError, TypeError):
        raise MailProxyError(f"{file}: is not a key file of a service account") from None
