"""Accounts on the wire. Secrets go in and never come out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from mail_proxy.domain.account import TlsMode
from mail_proxy.wire.addresses import parse_mailbox
from mail_proxy.wire.fields import Answer, Count, Identifier, Name, NotBool, Request
from mail_proxy.wire.secrets import MASK

Port = Annotated[int, NotBool, Field(ge=1, le=65535)]
Host = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s/@\x00-\x1f]+$")]
_IMPLICIT_TLS_PORT = 465


class AccountIn(Request):
    """An account to create, or the fields of it to change."""

    id: Identifier = Field(description="Name of the account, unique in its tenant.")
    tenant_id: Identifier | None = Field(
        None, description="May be left out with a tenant key, or with the only tenant."
    )
    host: Host | None = Field(None, description="Required for a new account.")
    port: Port | None = Field(None, description="Default 587.")
    user: Name | None = Field(None, description="Log-in name; without it there is no log-in.")
    password: Name | None = Field(None, description="Write-only; ******** keeps the old one.")
    tls: TlsMode | None = Field(None, description="Default auto.")
    use_tls: bool | None = Field(None, description="Older form of `tls`.")
    use_ssl: bool | None = Field(None, description="Older form of `tls`.")
    verify_cert: bool | None = Field(None, description="Default true.")
    allow_insecure_auth: bool | None = Field(
        None, description="Allow a password in the clear to a host that is not loopback."
    )
    ttl: Annotated[int, NotBool, Field(ge=1, le=86_400)] | None = Field(
        None, description="Longest life of a connection, seconds; default 300."
    )
    batch_size: Annotated[int, NotBool, Field(ge=1, le=100_000)] | None = Field(
        None, description="Messages over one connection."
    )
    max_connections: Annotated[int, NotBool, Field(ge=1, le=1000)] | None = Field(
        None, description="Most connections at once, per process."
    )
    limit_per_minute: Count | None = Field(None, description="0: no limit.")
    limit_per_hour: Count | None = Field(None, description="0: no limit.")
    limit_per_day: Count | None = Field(None, description="0: no limit.")
    limit_behavior: Literal["defer", "reject"] | None = Field(None, description="Default defer.")
    is_default: bool | None = Field(None, description="Take it for messages that name no account.")
    from_address: Name | None = Field(None, description="Default sender.")
    is_pec_account: bool | None = Field(None, description="Certified mail (PEC).")
    imap_host: Host | None = Field(None, description="Mailbox of the receipts.")
    imap_port: Port | None = Field(None, description="Default 993.")
    imap_user: Name | None = Field(None, description="Default: `user`.")
    imap_password: Name | None = Field(None, description="Write-only; default: `password`.")
    imap_folder: Name | None = Field(None, description="Default INBOX.")

    @field_validator("from_address")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value:
            parse_mailbox(value)
        return value

    @field_validator("use_tls", "use_ssl")
    @classmethod
    def _instead_of_tls(cls, value: bool | None, info: ValidationInfo) -> bool | None:
        if value is not None and info.data.get("tls") is not None:
            raise ValueError("cannot be given together with tls")
        return value

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

    id: str = Field(description="Name of the account, unique in its tenant.")
    pk: str = Field(description="Internal UUID.")
    tenant_id: str = Field(description="Its tenant.")
    host: str = Field(description="SMTP server.")
    port: int = Field(description="Its port.")
    user: str | None = Field(description="Log-in name.")
    password: str | None = Field(description="******** where one is stored.")
    tls: str = Field(description="auto, starttls, ssl or none.")
    verify_cert: bool = Field(description="Whether the certificate is checked.")
    allow_insecure_auth: bool = Field(description="Whether the password may go in the clear.")
    ttl: int = Field(description="Longest life of a connection, seconds.")
    batch_size: int | None = Field(description="Messages over one connection.")
    max_connections: int | None = Field(description="Most connections at once, per process.")
    limit_per_minute: int | None = Field(description="0 or null: no limit.")
    limit_per_hour: int | None = Field(description="0 or null: no limit.")
    limit_per_day: int | None = Field(description="0 or null: no limit.")
    limit_behavior: str = Field(description="defer or reject.")
    is_default: bool = Field(description="Whether it is taken for messages that name no account.")
    from_address: str | None = Field(description="Default sender.")
    is_pec_account: bool = Field(description="Certified mail (PEC).")
    imap_host: str | None = Field(description="Mailbox of the receipts.")
    imap_port: int | None = Field(description="Its port.")
    imap_user: str | None = Field(description="Log-in name there.")
    imap_password: str | None = Field(description="******** where one is stored.")
    imap_folder: str | None = Field(description="Folder of the receipts.")
    health: str = Field(description="ok or paused.")
    last_error: str | None = Field(description="Why it is paused.")
    created_at: int = Field(description="When it was made.")
    updated_at: int = Field(description="When it was last saved.")


class AccountsOut(Answer):
    """The accounts of a tenant."""

    accounts: list[AccountOut] = Field(description="In the order of their ids.")


class AccountAnswer(Answer):
    """One account."""

    account: AccountOut = Field(description="The account.")


class AccountSaved(Answer):
    """What was saved."""

    id: str = Field(description="Name of the account.")
    pk: str = Field(description="Internal UUID.")


class AccountTestStep(BaseModel):
    """One step of an account test: ``connect``, ``tls``, ``login`` or ``quit``."""

    step: str = Field(description="connect, tls, login or quit.")
    ok: bool = Field(description="Whether it went well.")
    detail: str = Field(description="The server's words, or what went wrong.")
    ms: float = Field(description="How long it took, milliseconds.")


class AccountTestOut(BaseModel):
    """``ok`` when every step went well; the last step is the one that failed."""

    ok: bool = Field(description="Whether every step went well.")
    steps: list[AccountTestStep] = Field(
        description="The steps that were taken; the last one is the one that failed."
    )
