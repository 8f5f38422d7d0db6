"""JSON shapes of an account's log-in: password, none, or OAuth2."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mail_proxy.domain.networks import is_loopback
from mail_proxy.domain.oauth2 import UNKNOWN_GRANTS, Grant, Provider, token_endpoint
from mail_proxy.domain.web_url import check_web_url
from mail_proxy.wire.bound_secrets import usual_url
from mail_proxy.wire.fields import LongSecret, Matching, Name, Redacted, Request
from mail_proxy.wire.mistakes import WrongField
from mail_proxy.wire.secrets import MASK

_LONGEST_PEM = 10_000
Pem = Annotated[str, Field(max_length=_LONGEST_PEM), Redacted()]
Directory = Annotated[
    str,
    Field(max_length=253),
    Matching(r"[A-Za-z0-9][A-Za-z0-9.-]*", "must be the name or the id of a directory"),
]
SECRETS = ("client_secret", "refresh_token", "private_key")


def _token_url(url: str) -> str:
    check_web_url(url)
    if "#" in url:
        raise ValueError("must not hold #")
    if not url.startswith("https://") and not is_loopback(usual_url(url)[1]):
        raise ValueError("must start with https://: secrets are sent there")
    return url


TokenUrl = Annotated[str, Field(max_length=2000), AfterValidator(_token_url)]

ACCOUNT_AUTH: dict[str, Any] = {
    "method": "oauth2",
    "provider": "microsoft",
    "grant": "refresh_token",
    "client_id": "11111111-2222-3333-4444-555555555555",
    "client_secret": MASK,
    "tenant": "acme.onmicrosoft.com",
    "refresh_token": MASK,
    "scope": "https://outlook.office.com/SMTP.Send offline_access",
}
GIVEN_ACCOUNT_AUTH = {
    **ACCOUNT_AUTH,
    "client_secret": "a-secret-of-the-application",
    "refresh_token": "a-refresh-token-of-the-mailbox",
}


class AccountAuthIn(Request):
    """Log-in of an account, replaced as a whole.

    For OAuth2 the account's user is the mailbox.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [GIVEN_ACCOUNT_AUTH]})

    method: Literal["password", "none", "oauth2"] = Field(
        description="password, none (no log-in) or oauth2."
    )
    provider: Provider | None = Field(
        None, description="For oauth2: microsoft, google or custom. It fixes URL and scope."
    )
    grant: Grant | None = Field(
        None,
        description="For oauth2: client_credentials (microsoft, custom), refresh_token, or "
        "service_account (google, custom).",
    )
    client_id: Name | None = Field(
        None, description="Id of the application; for service_account its e-mail address."
    )
    client_secret: LongSecret | None = Field(None, description="Secret of the application.")
    tenant: Directory | None = Field(
        None, description="For microsoft: the directory; required for client_credentials."
    )
    refresh_token: LongSecret | None = Field(
        None,
        description="For the grant refresh_token. A rotated one replaces it by itself. "
        "`mail-proxy NAME accounts authorize ID` obtains the first one.",
    )
    token_url: TokenUrl | None = Field(
        None, description="Token server, https; required for custom, else that of the provider."
    )
    scope: Name | None = Field(None, description="Scope of the tokens; default the provider's.")
    subject: Name | None = Field(
        None, description="For service_account: the mailbox; default the account's user."
    )
    private_key: Pem | None = Field(
        None, description="For service_account: an RSA key, PKCS#8 PEM."
    )

    @model_validator(mode="after")
    def _complete(self) -> AccountAuthIn:
        if self.method != "oauth2":
            given = [name for name in self.model_fields_set - {"method"} if getattr(self, name)]
            if given:
                raise WrongField(sorted(given)[0], f"not used by the method {self.method}")
            return self
        for name in self._needed():
            if not getattr(self, name):
                raise WrongField(name, "required for oauth2 with this provider and grant")
        if (self.provider, self.grant) in UNKNOWN_GRANTS:
            raise WrongField("grant", f"{self.provider} does not have it")
        return self

    def _needed(self) -> tuple[str, ...]:
        """Return the fields that may not be missing.

        ``refresh_token`` may: ``accounts authorize`` obtains it later.
        """
        needed = ["provider", "grant", "client_id"]
        if self.provider == "custom":
            needed.append("token_url")
        if self.grant == "client_credentials":
            needed += ["client_secret", *(["tenant"] if self.provider == "microsoft" else [])]
        if self.grant == "service_account":
            needed.append("private_key")
        return tuple(needed)


class AccountAuthOut(BaseModel):
    """Log-in of an account; stored secrets are shown as ``********``."""

    model_config = ConfigDict(json_schema_extra={"examples": [ACCOUNT_AUTH]})

    method: str = Field(description="password, none or oauth2; damaged: save it again.")
    provider: str | None = Field(None, description="microsoft, google or custom.")
    grant: str | None = Field(None, description="How tokens are obtained.")
    client_id: str | None = Field(None, description="Id of the application.")
    client_secret: str | None = Field(None, description="******** if one is stored.")
    tenant: str | None = Field(None, description="Directory (microsoft).")
    refresh_token: str | None = Field(None, description="******** if one is stored.")
    token_url: str | None = Field(None, description="Token server; null: the provider's.")
    scope: str | None = Field(None, description="Scope; null: the provider's.")
    subject: str | None = Field(None, description="Mailbox of a service account.")
    private_key: str | None = Field(None, description="******** if one is stored.")


def usual_place(auth: Any) -> Any:
    """Return the token server of a stored log-in in its usual spelling."""
    if not isinstance(auth, dict):
        return None
    return usual_url(token_endpoint(auth) or None)
