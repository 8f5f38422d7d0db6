"""Calls about suppressed addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mail_proxy.client.calls import Given, Group, Mode, call, lines
from mail_proxy.client.reading import model, text
from mail_proxy.wire.suppressions import (
    SuppressionSaved,
    SuppressionsImported,
    SuppressionsOut,
)
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

    @lines("/suppressions/export", text)
    def export(self, *, reason: Reason | None = None, tenant_id: str | None = None) -> Given:
        """Go through the list as lines of CSV; the first one names the columns."""
        return Given(query={"reason": reason}, tenant_id=tenant_id)

    @call("POST", "/suppressions/import", model(SuppressionsImported), repeatable=False)
    def load(self, csv: bytes, *, tenant_id: str | None = None) -> Given:
        """Add the addresses of a list in CSV, at most 4 MB and 100 000 lines."""
        return Given(body=csv, tenant_id=tenant_id)
