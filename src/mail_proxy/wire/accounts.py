"""Accounts on the wire. Secrets go in and never come out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from mail_proxy.domain.account import TlsMode
from mail_proxy.wire.addresses import parse_mailbox
from mail_proxy.wire.fields import Count, Identifier, Name, Request
from mail_proxy.wire.secrets import MASK

Port = Annotated[int, Field(ge=1, le=65535)]
Host = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s/@\x00-\x1f]+$")]
_IMPLICIT_TLS_PORT = 465


class AccountIn(Request):
    """An account to create, or the fields of it to change."""

    id: Identifier
    tenant_id: Identifier | None = None
    host: Host | None = Field(None, description="Required for a new account.")
    port: Port | None = Field(None, description="Default 587.")
    user: Name | None = None
    password: Name | None = Field(None, description="Write-only; ******** keeps the old one.")
    tls: TlsMode | None = Field(None, description="Default auto.")
    use_tls: bool | None = Field(None, description="Older form of `tls`.")
    use_ssl: bool | None = Field(None, description="Older form of `tls`.")
    verify_cert: bool | None = Field(None, description="Default true.")
    allow_insecure_auth: bool | None = Field(
        None, description="Allow a password in the clear to a host that is not loopback."
    )
    ttl: Annotated[int, Field(ge=1, le=86_400)] | None = Field(
        None, description="Longest life of a connection, seconds; default 300."
    )
    batch_size: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="Messages over one connection."
    )
    max_connections: Annotated[int, Field(ge=1, le=1000)] | None = None
    limit_per_minute: Count | None = Field(None, description="0: no limit.")
    limit_per_hour: Count | None = Field(None, description="0: no limit.")
    limit_per_day: Count | None = Field(None, description="0: no limit.")
    limit_behavior: Literal["defer", "reject"] | None = Field(None, description="Default defer.")
    is_default: bool | None = None
    from_address: Name | None = None
    is_pec_account: bool | None = None
    imap_host: Host | None = None
    imap_port: Port | None = None
    imap_user: Name | None = None
    imap_password: Name | None = None
    imap_folder: Name | None = None

    @model_validator(mode="after")
    def _checked(self) -> AccountIn:
        if self.from_address:
            parse_mailbox(self.from_address)
        if self.tls is not None and (self.use_tls is not None or self.use_ssl is not None):
            raise ValueError("tls: cannot be given together with use_tls or use_ssl")
        return self

    def columns(self, port: int) -> dict[str, Any]:
        """The given fields by column name; ``port`` is the one that the account will have."""
        given = self.model_dump(
            exclude_unset=True, exclude={"tenant_id", "use_tls", "use_ssl", "tls"}
        )
        for field, column in (("user", "smtp_user"), ("ttl", "ttl_seconds")):
            if field in given:
                given[column] = given.pop(field)
        for secret in ("password", "imap_password"):
            if given.get(secret) == MASK:
                del given[secret]
        mode = self.tls or self._older_tls(port)
        return given if mode is None else {**given, "tls": mode.value}

    def _older_tls(self, port: int) -> TlsMode | None:
        if self.use_ssl:
            return TlsMode.SSL
        if self.use_tls is None:
            return None
        if not self.use_tls:
            return TlsMode.NONE
        return TlsMode.SSL if port == _IMPLICIT_TLS_PORT else TlsMode.STARTTLS


class AccountOut(BaseModel):
    """An account without its secrets; ``password`` is masked where one is stored."""

    id: str
    pk: str
    tenant_id: str
    host: str
    port: int
    user: str | None
    password: str | None
    tls: str
    verify_cert: bool
    allow_insecure_auth: bool
    ttl: int
    batch_size: int | None
    max_connections: int | None
    limit_per_minute: int | None
    limit_per_hour: int | None
    limit_per_day: int | None
    limit_behavior: str
    is_default: bool
    from_address: str | None
    is_pec_account: bool
    imap_host: str | None
    imap_port: int | None
    imap_user: str | None
    imap_password: str | None
    imap_folder: str | None
    health: str = Field(description="ok or paused.")
    last_error: str | None
    created_at: int
    updated_at: int


class AccountsOut(BaseModel):
    ok: bool = True
    accounts: list[AccountOut]


class AccountAnswer(BaseModel):
    ok: bool = True
    account: AccountOut


class AccountSaved(BaseModel):
    ok: bool = True
    id: str
    pk: str


class AccountTestStep(BaseModel):
    """One step of an account test: ``connect``, ``tls``, ``login`` or ``quit``."""

    step: str
    ok: bool
    detail: str
    ms: float


class AccountTestOut(BaseModel):
    """``ok`` when every step went well; the last step is the one that failed."""

    ok: bool
    steps: list[AccountTestStep]
