"""JSON shapes of SMTP accounts. Secrets are accepted and never returned."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo, field_validator

from mail_proxy.domain.account import TlsMode
from mail_proxy.domain.helo_name import check_helo_name
from mail_proxy.wire.account_auth import AccountAuthIn, AccountAuthOut, usual_place
from mail_proxy.wire.addresses import parse_mailbox
from mail_proxy.wire.bound_secrets import SentTo, Usual, find_usual_host, usual_host
from mail_proxy.wire.fields import (
    Answer,
    Count,
    Identifier,
    Matching,
    Name,
    NotBool,
    OfTenant,
    OneLine,
    Request,
    Secret,
)
from mail_proxy.wire.secrets import MASK

Port = Annotated[int, NotBool, Field(ge=1, le=65535)]
Host = Annotated[
    str,
    Field(min_length=1, max_length=253),
    Matching(r"[^\s/@\x00-\x1f]+", "must be a name or an address, without blanks, / and @"),
]
HeloName = Annotated[str, AfterValidator(check_helo_name)]
#: The fields that say where an account leads, the host first.
PLACE: dict[str, Usual] = {"host": usual_host, "port": int}
_PROTECTION = ("tls", "verify_cert", "allow_insecure_auth")
SmtpPassword = Annotated[Secret, SentTo(*_PROTECTION, **PLACE)]
#: Its secrets go to the token server, and the tokens to the mail server.
SmtpAuth = Annotated[
    AccountAuthIn,
    SentTo(*_PROTECTION, "imap_port", **PLACE, imap_host=find_usual_host, auth=usual_place),
]
DEFAULT_IMAP_PORT = 993
DEFAULT_FOLDER = "INBOX"
MailAddress = Annotated[
    OneLine, Field(max_length=320), AfterValidator(lambda text: parse_mailbox(text).email)
]
_IMPLICIT_TLS_PORT = 465
#: Fields that are stored together, so that a new one needs no column.
_OPTIONS = {"dkim", "helo_name", "imap_tls"}


class AccountIn(Request):
    """An account to create, or the fields of an account to change."""

    id: Identifier = Field(description="Name of the account, unique in its tenant.")
    tenant_id: Identifier | None = Field(
        None, description="Optional with a tenant key, or if there is only one tenant."
    )
    host: Host | None = Field(None, description="SMTP server; required for a new account.")
    port: Port | None = Field(None, description="TCP port; default 587.")
    user: Name | None = Field(
        None, description="User name; null or empty: the proxy does not log in."
    )
    password: SmtpPassword | None = Field(
        None,
        description="Write-only; ******** keeps the stored one, null or empty removes it. It is "
        "asked for again if host, port, tls, verify_cert or allow_insecure_auth changes.",
    )
    auth: SmtpAuth | None = Field(
        None,
        description="How to log in; default: with the password if there is a user. Secrets are "
        "shown as ********, which keeps the stored ones when sent back. They are asked for again "
        "if the token server, host, port, tls, verify_cert or allow_insecure_auth changes.",
    )
    tls: TlsMode | None = Field(None, description="auto, starttls, ssl or none; default auto.")
    use_tls: bool | None = Field(None, description="Older form of `tls`; not together with it.")
    use_ssl: bool | None = Field(None, description="Older form of `tls`; not together with it.")
    verify_cert: bool | None = Field(
        None, description="Check the server's certificate; default true."
    )
    allow_insecure_auth: bool | None = Field(
        None, description="Allow an unencrypted password to a host that is not loopback."
    )
    ttl: Annotated[int, NotBool, Field(ge=1, le=86_400)] | None = Field(
        None, description="Longest lifetime of a connection, seconds; default 300."
    )
    batch_size: Annotated[int, NotBool, Field(ge=1, le=100_000)] | None = Field(
        None, description="Most messages over one connection."
    )
    max_connections: Annotated[int, NotBool, Field(ge=1, le=1000)] | None = Field(
        None, description="Most connections at once, per process."
    )
    limit_per_minute: Count | None = Field(None, description="0: no limit.")
    limit_per_hour: Count | None = Field(None, description="0: no limit.")
    limit_per_day: Count | None = Field(None, description="0: no limit.")
    limit_behavior: Literal["defer", "reject"] | None = Field(
        None, description="At a limit: defer or reject; default defer."
    )
    is_default: bool | None = Field(None, description="Use it for messages that name no account.")
    helo_name: HeloName | None = Field(
        None,
        description="Name that EHLO says; default: the setting `helo_name`, the host's full name, "
        "or the address literal of the connection's own address.",
    )
    dkim: bool | None = Field(
        None, description="Sign with the DKIM keys of the From domain; default true."
    )

    is_pec_account: bool | None = Field(
        None,
        description="The account sends Italian certified mail (PEC); its receipts are read from "
        "the mailbox at `imap_host`. Default false.",
    )
    imap_host: Host | None = Field(
        None, description="IMAP server of a PEC account; without one, no receipts are read."
    )
    imap_port: Port | None = Field(None, description="TCP port of the IMAP server; default 993.")
    imap_user: Name | None = Field(
        None, description="User name at the IMAP server; default: `user`."
    )
    imap_password: Secret | None = Field(
        None,
        description="Write-only; default: `password`. ******** keeps the stored one. It is asked "
        "for again if imap_host, imap_port or the encryption changes.",
    )
    imap_folder: Name | None = Field(
        None, description="Folder that receipts arrive in; default INBOX."
    )
    imap_tls: TlsMode | None = Field(
        None,
        description="ssl, starttls, none or auto (STARTTLS if offered). Default: ssl on port 993; "
        "on others none if `tls` is none, else starttls.",
    )

    @field_validator("use_tls", "use_ssl")
    @classmethod
    def _instead_of_tls(cls, value: bool | None, info: ValidationInfo) -> bool | None:
        if value is not None and info.data.get("tls") is not None:
            raise ValueError("cannot be given together with tls")
        return value

    def columns(self, port: int) -> dict[str, Any]:
        """Return the given fields by column name; ``port`` is the saved account's."""
        given = self.model_dump(
            exclude_unset=True,
            exclude={"tenant_id", "to", "use_tls", "use_ssl", "tls", "auth", *_OPTIONS},
        )
        for field, column in (("user", "smtp_user"), ("ttl", "ttl_seconds")):
            if field in given:
                given[column] = given.pop(field)
        for name in ("password", "imap_password"):
            if given.get(name) == MASK:
                del given[name]
        # An empty text is no user and no password; null means the same.
        texts = ("smtp_user", "password", "imap_user", "imap_password")
        given.update({k: None for k in texts if given.get(k) == ""})
        mode = self.tls or self._older_tls(port)
        return given if mode is None else {**given, "tls": mode.value}

    def options(self, old: dict[str, Any] | None) -> dict[str, Any]:
        """Return the stored options with the given ones; null takes one out."""
        given = self.model_dump(include=_OPTIONS & self.model_fields_set)
        return {k: v for k, v in {**(old or {}), **given}.items() if v is not None}

    def _older_tls(self, port: int) -> TlsMode | None:
        if self.use_ssl:
            return TlsMode.SSL
        if self.use_tls is None:
            return None
        if not self.use_tls:
            return TlsMode.NONE
        return TlsMode.SSL if port == _IMPLICIT_TLS_PORT else TlsMode.STARTTLS


class AccountRef(Request):
    """An account of the tenant that the call is about."""

    id: Identifier = Field(description="Name of the account.")


class AccountOut(BaseModel):
    """An account without its secrets; a stored password is shown as ``********``."""

    id: str = Field(description="Name of the account, unique in its tenant.")
    pk: str = Field(description="Internal UUID.")
    tenant_id: str = Field(description="Tenant of the account.")
    host: str = Field(description="SMTP server.")
    port: int = Field(description="TCP port of the server.")
    user: str | None = Field(description="User name; null: no log-in.")
    password: str | None = Field(description="******** if one is stored.")
    auth: AccountAuthOut = Field(description="How the proxy logs in; secrets are ********.")
    tls: str = Field(description="auto, starttls, ssl or none.")
    verify_cert: bool = Field(description="Whether the server's certificate is checked.")
    allow_insecure_auth: bool = Field(description="Whether the password may be sent unencrypted.")
    ttl: int = Field(description="Longest lifetime of a connection, seconds.")
    batch_size: int | None = Field(description="Most messages over one connection.")
    max_connections: int | None = Field(description="Most connections at once, per process.")
    limit_per_minute: int | None = Field(description="0 or null: no limit.")
    limit_per_hour: int | None = Field(description="0 or null: no limit.")
    limit_per_day: int | None = Field(description="0 or null: no limit.")
    limit_behavior: str = Field(description="defer or reject.")
    is_default: bool = Field(description="Whether messages that name no account use it.")
    helo_name: str | None = Field(None, description="Name that EHLO says; null: the usual one.")
    dkim: bool = Field(True, description="Whether mails are signed with DKIM.")
    is_pec_account: bool = Field(
        False, description="Whether the account sends Italian certified mail (PEC)."
    )
    imap_host: str | None = Field(None, description="IMAP server of a PEC account.")
    imap_port: int | None = Field(None, description="TCP port of the IMAP server.")
    imap_user: str | None = Field(
        None, description="User name at the IMAP server; null: that of the account."
    )
    imap_password: str | None = Field(
        None, description="******** if one is stored; null: that of the account is used."
    )
    imap_folder: str | None = Field(None, description="Folder that receipts arrive in.")
    imap_tls: str | None = Field(
        None, description="Encryption of the IMAP connection; null: the usual one."
    )
    imap_error: str | None = Field(
        None, description="Why the mailbox cannot be read; null if it can."
    )
    imap_checked_ts: int | None = Field(
        None, description="Last time that the mailbox was read, Unix seconds."
    )
    health: str = Field(description="ok or paused.")
    last_error: str | None = Field(description="Why the account is paused.")
    created_at: int = Field(description="When the account was created.")
    updated_at: int = Field(description="When the account was last saved.")


class AccountsOut(Answer):
    """The accounts of a tenant."""

    accounts: list[AccountOut] = Field(description="In the order of their ids.")


class AccountAnswer(Answer):
    """One account."""

    account: AccountOut = Field(description="The account.")


class AccountSaved(Answer):
    """The account that was saved."""

    id: str = Field(description="Name of the account.")
    pk: str = Field(description="Internal UUID.")


class AccountTestOptions(OfTenant):
    """Options of an account test."""

    to: MailAddress | None = Field(None, description="Address that gets a test mail.")


class AccountTest(AccountTestOptions, AccountRef):
    """A saved account to test."""


class UnsavedAccountTest(AccountIn, AccountTestOptions):
    """Fields of an account to test. They are not saved."""

    id: Identifier | None = Field(  # type: ignore[assignment]
        None, description="Saved account whose other fields and password are used, if any."
    )


class AccountTestStep(BaseModel):
    """Step of an account test, such as ``connect``, ``login`` or ``mailbox``."""

    step: str = Field(
        description="connect, tls, login, mail (with `to`), quit, or mailbox (IMAP, of a PEC "
        "account)."
    )
    ok: bool = Field(description="Whether the step succeeded.")
    detail: str = Field(description="The server's reply, or what failed.")
    hint: str | None = Field(description="What to change, after a failure.")
    ms: float = Field(description="Duration in milliseconds.")


class AccountTestOut(BaseModel):
    """Result of an account test: the steps up to the first that failed."""

    ok: bool = Field(description="Whether every step succeeded.")
    steps: list[AccountTestStep] = Field(
        description="The steps in order. If one failed, it is the last."
    )
    resumed: int = Field(
        description="Messages that go on now because the test ended the account's pause."
    )
