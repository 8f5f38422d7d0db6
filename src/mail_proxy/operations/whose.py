"""Find the tenant of a message or account that an administrator names by its id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mail_proxy.errors import NotFound, SeveralTenants
from mail_proxy.operations.operation import Context

#: Tenants that an error names.
MOST_NAMED = 20


def of_one_tenant(context: Context, tenants: Sequence[str], thing: str) -> Context:
    """Return the context of the tenant that has the thing.

    ``tenants`` are all that have one with the id of the call, in the order of their names. Raises
    NotFound if there is none, and SeveralTenants if there are more than one.
    """
    if not tenants:
        raise NotFound(f"no such {thing}")
    if len(tenants) > 1:
        raise SeveralTenants(thing, tenants[:MOST_NAMED])
    return replace(context, tenant_id=tenants[0])
