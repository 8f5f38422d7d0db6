"""Calls about tenants, their keys, and the report calls to their applications."""

from __future__ import annotations

from typing import Unpack

from mail_proxy.client.calls import Given, Group, Mode, When, call
from mail_proxy.client.fields import TenantFields
from mail_proxy.client.reading import field_of, model
from mail_proxy.wire.sync_log import SyncLogOut
from mail_proxy.wire.tenants import (
    ApiKeyOut,
    Done,
    SyncStatusOut,
    TenantAnswer,
    TenantSaved,
    TenantsOut,
)


class Tenants(Group[Mode]):
    """Calls about tenants."""

    @call("POST", "/tenant", model(TenantSaved), names_tenant=False, repeatable=False)
    def add(self, id: str, **fields: Unpack[TenantFields]) -> Given:  # noqa: A002
        """Create a tenant, or change the given fields of an existing one.

        A new tenant's answer has its ``api_key``, which is shown this once.
        """
        return Given(body={"id": id, **fields})

    @call(
        "GET", "/tenants", field_of(TenantsOut, lambda answer: answer.tenants), names_tenant=False
    )
    def list(self, *, active_only: bool = False) -> Given:
        """Return all tenants."""
        return Given(query={"active_only": active_only or None})

    @call(
        "GET",
        "/tenant/{id}",
        field_of(TenantAnswer, lambda answer: answer.tenant),
        names_tenant=False,
    )
    def get(self, id: str) -> Given:  # noqa: A002
        """Return one tenant."""
        return Given(path={"id": id})

    @call(
        "PUT",
        "/tenant/{id}",
        field_of(TenantAnswer, lambda answer: answer.tenant),
        names_tenant=False,
    )
    def update(self, id: str, **fields: Unpack[TenantFields]) -> Given:  # noqa: A002
        """Change the given fields of a tenant and return it."""
        return Given(path={"id": id}, body=fields)

    @call("DELETE", "/tenant/{id}", model(Done), names_tenant=False, repeatable=False)
    def delete(self, id: str) -> Given:  # noqa: A002
        """Remove a tenant with all its data; ``default`` cannot be removed."""
        return Given(path={"id": id})

    @call(
        "POST",
        "/tenant/{id}/api-key",
        field_of(ApiKeyOut, lambda answer: answer.api_key),
        names_tenant=False,
    )
    def make_key(self, id: str, *, expires_at: When | None = None) -> Given:  # noqa: A002
        """Return a new key; the previous one stops working at once."""
        return Given(path={"id": id}, body={"expires_at": expires_at})

    @call("DELETE", "/tenant/{id}/api-key", model(Done), names_tenant=False, repeatable=False)
    def revoke_key(self, id: str) -> Given:  # noqa: A002
        """Revoke the tenant's key."""
        return Given(path={"id": id})

    @call("GET", "/tenants/sync-status", model(SyncStatusOut), names_tenant=False)
    def sync_status(self) -> Given:
        """Return when each tenant's application was called last, and if a call is due."""
        return Given()

    @call(
        "GET",
        "/tenant/{id}/sync-log",
        field_of(SyncLogOut, lambda answer: answer.calls),
        names_tenant=False,
    )
    def sync_log(self, id: str, *, limit: int | None = None) -> Given:  # noqa: A002
        """Return the last calls to the tenant's application, newest first."""
        return Given(path={"id": id}, query={"limit": limit})
