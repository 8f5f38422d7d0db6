"""Members of the shell: ``proxy``, its groups, and forms that ask step by step."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from mail_proxy.cli.commands.accounts import asked_account
from mail_proxy.cli.commands.send import asked_message
from mail_proxy.cli.commands.tenants import asked_tenant
from mail_proxy.cli.repl.wrapper import repl_wrap, reserved
from mail_proxy.client import MailProxyClient
from mail_proxy.kit.ids import uuid7
from mail_proxy.wire.accounts import AccountOut
from mail_proxy.wire.batches import AddMessagesOut
from mail_proxy.wire.messages import CleanedOut, DeletedOut, MessageOut
from mail_proxy.wire.service import Status
from mail_proxy.wire.stats import StatsOut
from mail_proxy.wire.suspension import SuspensionOut
from mail_proxy.wire.tenants import Done, TenantSaved

_DAY_SECONDS = 86_400
_SHOWN = 50


class ReplMessages:
    """Messages, the newest first."""

    def __init__(self, client: MailProxyClient) -> None:
        self._client = client

    def list(self, limit: int = _SHOWN, **filters: Any) -> Sequence[MessageOut]:
        """Return messages; filters as of `mail-proxy messages list`: status="error"."""
        return self._client.messages.list(limit=limit, **filters).messages

    def pending(self, limit: int = _SHOWN) -> Sequence[MessageOut]:
        """Return messages that wait, also those that are tried again later."""
        return self.list(limit, status=["pending", "deferred", "sending"])

    def sent(self, limit: int = _SHOWN) -> Sequence[MessageOut]:
        """Return messages that a mail server accepted."""
        return self.list(limit, status="sent")

    def errors(self, limit: int = _SHOWN) -> Sequence[MessageOut]:
        """Return messages that were given up."""
        return self.list(limit, status="error")

    def get(self, id: str, tenant_id: str | None = None) -> MessageOut:  # noqa: A002
        """Return one message."""
        return self._client.messages.get(id, tenant_id=tenant_id)

    def delete(self, ids: Iterable[str] | str, tenant_id: str | None = None) -> DeletedOut:
        """Remove messages, given by one id or several."""
        wanted = [ids] if isinstance(ids, str) else [*ids]
        return self._client.messages.delete(wanted, tenant_id=tenant_id)

    def cleanup(
        self, tenant_id: str | None = None, older_than_seconds: float | None = None
    ) -> CleanedOut:
        """Remove finished messages that were reported long enough ago."""
        return self._client.messages.cleanup(older_than_seconds, tenant_id=tenant_id)


class ReplProxy:
    """The instance, as ``proxy`` of the shell."""

    def __init__(self, client: MailProxyClient) -> None:
        self._client = client
        self.messages = repl_wrap(ReplMessages(client))
        self.tenants = repl_wrap(client.tenants)
        self.accounts = repl_wrap(client.accounts)
        self.suppressions = repl_wrap(client.suppressions)
        self.storages = repl_wrap(client.storages)
        self.dkim = repl_wrap(client.dkim)

    def status(self) -> Status:
        """Return the full state of the service."""
        return self._client.instance.status(full=True)

    def stats(self, hours: float = 24) -> list[StatsOut]:
        """Return the counters of the last hours."""
        return [*self._client.stats.iterate(from_ts=time.time() - hours * _DAY_SECONDS / 24)]

    def run_now(self, tenant_id: str | None = None) -> Done:
        """Deliver and report what is due now."""
        return self._client.commands.run_now(tenant_id=tenant_id)

    def suspend(self, batch_code: str | None = None, tenant_id: str | None = None) -> SuspensionOut:
        """Stop sending for a tenant, or for one batch."""
        return self._client.commands.suspend(batch_code, tenant_id=tenant_id)

    def activate(
        self, batch_code: str | None = None, tenant_id: str | None = None
    ) -> SuspensionOut:
        """Resume sending."""
        return self._client.commands.activate(batch_code, tenant_id=tenant_id)

    def new_tenant(self) -> TenantSaved:
        """Ask for the fields of a tenant, and add it. Its key is shown this once."""
        id_, fields = asked_tenant()
        return self._client.tenants.add(id_, **fields)

    def new_account(self, tenant_id: str | None = None) -> AccountOut:
        """Ask for the fields of an account, and add it."""
        fields = asked_account()
        saved = self._client.accounts.add(**fields, tenant_id=tenant_id)
        return self._client.accounts.get(saved.id, tenant_id=tenant_id)

    def new_message(self, tenant_id: str | None = None) -> AddMessagesOut:
        """Ask for sender, recipients, subject and text, and queue the message."""
        return self._client.messages.add([asked_message(uuid7())], tenant_id=tenant_id)

    @reserved
    def close(self) -> None:
        """Close the connection; the shell does it at its end."""
        self._client.close()
