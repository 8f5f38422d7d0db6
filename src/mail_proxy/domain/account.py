"""How one SMTP login is reached and what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TlsMode(StrEnum):
    """How a connection is protected.

    ``AUTO``: implicit TLS on port 465, else STARTTLS where the server offers it.
    ``STARTTLS``: STARTTLS or no connection. ``SSL``: implicit TLS. ``NONE``: clear text.
    """

    AUTO = "auto"
    STARTTLS = "starttls"
    SSL = "ssl"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class SmtpLogin:
    """What is needed to open and reuse SMTP connections of one account.

    ``version`` grows with every save of the account: connections of an older version are
    not reused. ``ttl_seconds`` is the longest life of a connection, ``batch_size`` the most
    messages it carries, ``max_connections`` the most that are open at once in this process.
    """

    account_pk: str
    version: int
    host: str
    port: int
    user: str | None
    password: str | None
    tls: TlsMode
    verify_cert: bool
    ttl_seconds: float
    batch_size: int
    max_connections: int

    def __repr__(self) -> str:
        return f"SmtpLogin({self.account_pk} v{self.version} {self.host}:{self.port} {self.tls})"


@dataclass(frozen=True, slots=True)
class Account:
    """One account as delivery and intake see it."""

    pk: str
    tenant_id: str
    id: str
    is_default: bool
    login: SmtpLogin
