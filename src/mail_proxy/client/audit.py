"""Calls about the audit log."""

from __future__ import annotations

from mail_proxy.client.calls import Given, Group, Mode, When, call, lines
from mail_proxy.client.reading import field_of, model
from mail_proxy.wire.command_log import (
    CommandAnswer,
    CommandOut,
    CommandsOut,
    PurgedOut,
    ReplayedOut,
)


class Audit(Group[Mode]):
    """Calls about the audit log; they need the admin token."""

    @call(
        "GET",
        "/command-log",
        field_of(CommandsOut, lambda answer: answer.commands),
    )
    def list(
        self,
        *,
        since_ts: When | None = None,
        until_ts: When | None = None,
        endpoint: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        tenant_id: str | None = None,
    ) -> Given:
        """Return changes, failed log-ins and refused calls, newest first."""
        query = {
            "since_ts": since_ts,
            "until_ts": until_ts,
            "endpoint": endpoint,
            "limit": limit,
            "offset": offset,
        }
        return Given(query=query, tenant_id=tenant_id)

    @lines("/command-log/export", model(CommandOut))
    def export(
        self,
        *,
        since_ts: When | None = None,
        until_ts: When | None = None,
        endpoint: str | None = None,
        tenant_id: str | None = None,
    ) -> Given:
        """Go through all matching entries, oldest first."""
        query = {
            "since_ts": since_ts,
            "until_ts": until_ts,
            "endpoint": endpoint,
        }
        return Given(query=query, tenant_id=tenant_id)

    @call(
        "GET",
        "/command-log/{id}",
        field_of(CommandAnswer, lambda answer: answer.command),
        names_tenant=False,
    )
    def get(self, id: int) -> Given:  # noqa: A002
        """Return one entry."""
        return Given(path={"id": id})

    @call("POST", "/command-log/purge", model(PurgedOut), names_tenant=False, repeatable=False)
    def purge(self, older_than_seconds: float | None = None) -> Given:
        """Remove old entries; without an age, those older than ``audit_retention_days``."""
        return Given(body={"older_than_seconds": older_than_seconds})

    @call("POST", "/command-log/replay", model(ReplayedOut), names_tenant=False, repeatable=False)
    def replay(self, exported: bytes) -> Given:
        """Recreate tenants and accounts from exported JSON lines, in an empty instance."""
        return Given(body=exported)
