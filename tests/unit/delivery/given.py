"""Values that the tests of delivery share."""

from __future__ import annotations

from typing import Any

from mail_proxy.domain.account import Account, SmtpLogin, TlsMode
from mail_proxy.sql.messages.queue import ClaimedMessage

NOW = 1_800_000_000.0


def account(pk: str = "a", tenant: str = "t", connections: int = 2) -> Account:
    login = SmtpLogin(
        account_pk=pk,
        version=1,
        host="localhost",
        port=25,
        user=None,
        password=None,
        tls=TlsMode.NONE,
        verify_cert=True,
        ttl_seconds=300,
        batch_size=100,
        max_connections=connections,
    )
    return Account(pk, tenant, pk, False, login)


def message(pk: str = "pk", **fields: Any) -> ClaimedMessage:
    given: dict[str, Any] = {
        "pk": pk,
        "tenant_id": "t",
        "id": "m",
        "account_pk": "a",
        "priority": 2,
        "due_at": NOW - 5,
        "created_at": NOW - 5,
        "size": 1,
        "retries": 0,
        "expires_at": None,
        "batch_code": None,
        "recipients_left": None,
        "recipient_results": None,
        "claimed_by": "me",
        **fields,
    }
    return ClaimedMessage(**given)


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return self.time
