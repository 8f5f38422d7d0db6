"""Calls about SMTP accounts."""

from __future__ import annotations

from typing import Unpack

from mail_proxy.client.calls import Given, Group, Mode, call
from mail_proxy.client.fields import AccountFields, AccountTestFields
from mail_proxy.client.reading import field_of, model
from mail_proxy.wire.accounts import AccountAnswer, AccountSaved, AccountsOut, AccountTestOut
from mail_proxy.wire.tenants import Done


class Accounts(Group[Mode]):
    """Calls about SMTP accounts."""

    @call("POST", "/account", model(AccountSaved))
    def add(self, **fields: Unpack[AccountFields]) -> Given:
        """Create an account, or change the given fields of an existing one."""
        return Given(body=fields, tenant_id=fields.get("tenant_id"))

    @call("GET", "/accounts", field_of(AccountsOut, lambda answer: answer.accounts))
    def list(self, *, tenant_id: str | None = None) -> Given:
        """Return all accounts; secrets are never shown."""
        return Given(tenant_id=tenant_id)

    @call("GET", "/account/{id}", field_of(AccountAnswer, lambda answer: answer.account))
    def get(self, id: str, *, tenant_id: str | None = None) -> Given:  # noqa: A002
        """Return one account."""
        return Given(path={"id": id}, tenant_id=tenant_id)

    @call("DELETE", "/account/{id}", model(Done), repeatable=False)
    def delete(self, id: str, *, tenant_id: str | None = None) -> Given:  # noqa: A002
        """Remove an account; its queued messages end in ``error`` and are reported."""
        return Given(path={"id": id}, tenant_id=tenant_id)

    @call("POST", "/account/{id}/test", model(AccountTestOut), repeatable=False)
    def test(
        self,
        id: str,  # noqa: A002 - its name on the wire
        *,
        to: str | None = None,
        tenant_id: str | None = None,
    ) -> Given:
        """Connect, log in and quit; with ``to``, also send a test mail.

        A test that succeeds ends the account's pause.
        """
        return Given(path={"id": id}, body={"to": to}, tenant_id=tenant_id)

    @call("POST", "/account/test", model(AccountTestOut), repeatable=False)
    def test_unsaved(self, **fields: Unpack[AccountTestFields]) -> Given:
        """Test the fields of an account without saving them."""
        return Given(body=fields, tenant_id=fields.get("tenant_id"))
