"""OAuth2 settings of an account, with the defaults of each provider."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

Provider = Literal["microsoft", "google", "custom"]
Grant = Literal["client_credentials", "refresh_token", "service_account"]

METHOD = "oauth2"
OAUTHBEARER, XOAUTH2 = "OAUTHBEARER", "XOAUTH2"
#: Grants that a provider does not have.
UNKNOWN_GRANTS = {("microsoft", "service_account"), ("google", "client_credentials")}
_MICROSOFT = "https://login.microsoftonline.com"
_GOOGLE_TOKENS = "https://oauth2.googleapis.com/token"
_GOOGLE_SCOPE = "https://mail.google.com/"
#: The scope of what the administrator of the directory has granted to the application.
_MICROSOFT_SCOPE = "https://outlook.office365.com/.default"
_ANY_DIRECTORY = "common"


@dataclass(frozen=True, slots=True)
class OAuth2Settings:
    """Settings with which access tokens of an account are obtained.

    ``token_url``, ``scope`` and ``tenant`` replace what the provider fixes. ``subject`` is the
    mailbox of a service account. ``private_allowed``: the administrator saved the token URL, which
    may lead to any address.
    """

    provider: Provider
    grant: Grant
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    tenant: str | None = None
    refresh_token: str | None = field(default=None, repr=False)
    token_url: str | None = None
    scope: str | None = None
    subject: str | None = None
    private_key: str | None = field(default=None, repr=False)
    private_allowed: bool = False

    @classmethod
    def from_record(
        cls, record: Mapping[str, Any] | None, user: str | None
    ) -> OAuth2Settings | None:
        """Build from the stored form; None for an account that logs in otherwise.

        ``user`` is the account's, and the ``subject`` if there is no other.
        """
        if not record or record.get("method") != METHOD:
            return None
        known = {f.name for f in fields(cls)}
        settings = cls(**{k: v for k, v in record.items() if k in known and v is not None})
        if settings.grant == "service_account" and settings.subject is None:
            return replace(settings, subject=user)
        return settings

    @property
    def endpoint(self) -> str:
        """URL of the token server; empty if the settings name none."""
        return token_endpoint(
            {"provider": self.provider, "tenant": self.tenant, "token_url": self.token_url}
        )

    @property
    def wanted_scope(self) -> str | None:
        """The scope of a token request; None: the one that was granted before."""
        if self.scope is not None:
            return self.scope
        if self.provider == "google" and self.grant == "service_account":
            return _GOOGLE_SCOPE
        if self.provider == "microsoft" and self.grant == "client_credentials":
            return _MICROSOFT_SCOPE
        return None

    @property
    def digest(self) -> str:
        """Digest of all settings: tokens of other settings are not used."""
        values = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name != "private_allowed"
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """Log-in with access tokens.

    ``account_pk`` and ``version`` name the saved account whose tokens are stored and shared.
    ``account_pk`` is None for settings that are tested and not saved.
    """

    settings: OAuth2Settings
    account_pk: str | None
    version: int


def token_endpoint(record: Mapping[str, Any]) -> str:
    """Return the token URL of settings, which may lack fields; empty if there is none."""
    if given := record.get("token_url"):
        return str(given)
    if record.get("provider") == "google":
        return _GOOGLE_TOKENS
    if record.get("provider") == "microsoft":
        return f"{_MICROSOFT}/{record.get('tenant') or _ANY_DIRECTORY}/oauth2/v2.0/token"
    return ""


def token_mechanisms(
    user: str, token: str, host: str, port: int
) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    """Return the initial responses of OAUTHBEARER (RFC 7628) and XOAUTH2, not encoded."""
    name = user.replace("=", "=3D").replace(",", "=2C")  # RFC 5801 section 4
    bearer = f"n,a={name},\1host={host}\1port={port}\1auth=Bearer {token}\1\1"
    return (
        (OAUTHBEARER, bearer.encode()),
        (XOAUTH2, f"user={user}\1auth=Bearer {token}\1\1".encode()),
    )
