"""SMTP accounts: login, TLS mode, limits, and pauses after failures."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mail_proxy.domain.limits import RateLimit
from mail_proxy.domain.oauth2 import TokenLogin


class TlsMode(StrEnum):
    """Encryption of a connection to an SMTP server.

    ``AUTO``: implicit TLS on port 465, else STARTTLS if the server offers it.
    ``STARTTLS``: STARTTLS or no connection. ``SSL``: implicit TLS. ``NONE``: clear text.
    """

    AUTO = "auto"
    STARTTLS = "starttls"
    SSL = "ssl"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class SmtpLogin:
    """Settings for opening and reusing SMTP connections of one account.

    ``version`` grows with every save of the account: connections of an older version are
    not reused. ``ttl_seconds`` is the longest life of a connection, ``batch_size`` the most
    messages it carries, ``max_connections`` the most that are open at once in this process.
    ``private_allowed``: the administrator saved the host, which may be at any address.
    ``helo_name`` is what EHLO says; None: as for all accounts.
    ``tokens``: the account logs in with access tokens instead of the password.
    ``damage`` says why the stored password cannot be read; the login is of no use then.
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
    damage: str | None = None
    private_allowed: bool = False
    helo_name: str | None = None
    tokens: TokenLogin | None = None

    def __repr__(self) -> str:
        return f"SmtpLogin({self.account_pk} v{self.version} {self.host}:{self.port} {self.tls})"


@dataclass(frozen=True, slots=True)
class Account:
    """One account as delivery and intake see it. ``options`` are read by features.

    ``is_pec``: it sends Italian certified mail (RFC 6109).
    """

    pk: str
    tenant_id: str
    id: str
    is_default: bool
    login: SmtpLogin
    limits: tuple[RateLimit, ...] = ()
    rejects_over_limit: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    is_pec: bool = False


_FIRST_PAUSE_SECONDS = 30.0
_LONGEST_DOUBLED_SECONDS = 900.0
_PAUSE_JITTER = 0.1
LONGEST_PAUSE_SECONDS = _LONGEST_DOUBLED_SECONDS * (1 + _PAUSE_JITTER)


def pause_seconds(failures: int) -> float:
    """Return the pause after an account's n-th failure in a row, in seconds.

    It begins at 30 seconds and doubles up to 15 minutes.

    Up to 10 % is added, so that the accounts of one server do not return together.
    """
    doubled = _FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10)
    return min(doubled, _LONGEST_DOUBLED_SECONDS) * (1 + _PAUSE_JITTER * random.random())
