"""Calls about suppressed addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mail_proxy.client.calls import Given, Group, Mode, call
from mail_proxy.client.reading import model
from mail_proxy.wire.suppressions import SuppressionSaved, SuppressionsOut
from mail_proxy.wire.tenants import Done

Reason = Literal["bounce", "complaint", "unsubscribed", "manual"]


class Suppressions(Group[Mode]):
    """Calls about addresses that a tenant does not send to any more."""

    @call("POST", "/suppression", model(SuppressionSaved), repeatable=False)
    def add(
        self,
        addresses: str | Sequence[str],
        *,
        reason: Reason = "manual",
        detail: str | None = None,
        tenant_id: str | None = None,
    ) -> Given:
        """Add an address, or up to 1000 at once, to the suppression list."""
        every = [addresses] if isinstance(addresses, str) else [*addresses]
        note = {} if detail is None else {"detail": detail}
        return Given(body={"addresses": every, "reason": reason, **note}, tenant_id=tenant_id)

    @call("GET", "/suppressions", model(SuppressionsOut))
    def list(
        self,
        *,
        address: str | None = None,
        reason: Reason | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        tenant_id: str | None = None,
    ) -> Given:
        """Return a page of the suppression list.

        ``iterate`` goes through all pages.
        """
        query = {"address": address, "reason": reason, "limit": limit, "cursor": cursor}
        return Given(query=query, tenant_id=tenant_id)

    iterate = list.pages(lambda page: page.suppressions)  # noqa: A003 - the call above

    @call("DELETE", "/suppression/{address}", model(Done), repeatable=False)
    def delete(self, address: str, *, tenant_id: str | None = None) -> Given:
        """Take an address off the suppression list; messages are sent to it again."""
        return Given(path={"address": address}, tenant_id=tenant_id)
