"""Calls that wake, suspend and activate sending."""

from __future__ import annotations

from mail_proxy.client.calls import Given, Group, Mode, call
from mail_proxy.client.reading import model
from mail_proxy.wire.suspension import SuspensionOut
from mail_proxy.wire.tenants import Done


class Commands(Group[Mode]):
    """Calls that wake, suspend and activate sending."""

    @call("POST", "/commands/run-now", model(Done))
    def run_now(self, *, tenant_id: str | None = None) -> Given:
        """Wake dispatcher and reporter now. For one tenant, its do-not-disturb ends."""
        return Given(tenant_id=tenant_id)

    @call("POST", "/commands/suspend", model(SuspensionOut))
    def suspend(self, batch_code: str | None = None, *, tenant_id: str | None = None) -> Given:
        """Suspend sending for one batch; without ``batch_code``, for the whole tenant."""
        return Given(query={"batch_code": batch_code}, tenant_id=tenant_id)

    @call("POST", "/commands/activate", model(SuspensionOut))
    def activate(self, batch_code: str | None = None, *, tenant_id: str | None = None) -> Given:
        """Resume sending for one batch; without ``batch_code``, for the whole tenant."""
        return Given(query={"batch_code": batch_code}, tenant_id=tenant_id)
