"""Operations on DKIM keys: create, list, delete, compare with the DNS."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from mail_proxy.domain.dkim import record_name
from mail_proxy.domain.facts import DirectoryChanged
from mail_proxy.errors import Conflict, NotFound
from mail_proxy.features.dkim.keys import (
    check_private_key,
    make_private_key,
    publishes_same_key,
    record_value,
)
from mail_proxy.features.dkim.table import DkimKeysTable, next_selector
from mail_proxy.network.dns_records import DnsRecords, LookupFailed
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.sql import Connection
from mail_proxy.sql.table import EVERY_TENANT, Row
from mail_proxy.wire.dkim import (
    DkimCheckOut,
    DkimKeyIn,
    DkimKeyOut,
    DkimKeyRef,
    DkimKeySaved,
    DkimKeysOut,
    DnsRecord,
)
from mail_proxy.wire.mistakes import malformed, mistake
from mail_proxy.wire.tenants import Done

#: Each key of a domain is a signature in every mail.
_MOST_KEYS_OF_DOMAIN = 10
_MOST_KEYS = 1000


@dataclass(frozen=True)
class _Published:
    """A name in the DNS, and the text of the record that should be there."""

    name: str
    expected: str


async def _with_private_key(parts: Parts, tenant_id: str, request: DkimKeyIn) -> DkimKeyIn:
    """Make the key, or check the given one, before a transaction keeps others waiting.

    An RSA key takes a second to make, so that a request that is refused anyway makes none.
    """
    table = parts.tables.of_feature(DkimKeysTable)
    await parts.db.read(_free_selector, table, tenant_id, request)
    try:
        pem = await asyncio.to_thread(_private_key, request)
    except ValueError as error:
        raise malformed(mistake("private_key", str(error))) from None
    return request.model_copy(update={"private_key": pem})


def _private_key(request: DkimKeyIn) -> str:
    if request.private_key is None:
        return make_private_key(request.algorithm)
    return check_private_key(request.private_key, request.algorithm)


def _free_selector(
    connection: Connection, table: DkimKeysTable, tenant_id: str, request: DkimKeyIn
) -> str:
    """Return the selector of a new key; raises Conflict if there can be none."""
    rows = table.of_tenant(connection, tenant_id)
    selectors = [row["selector"] for row in rows if row["domain"] == request.domain]
    if len(selectors) >= _MOST_KEYS_OF_DOMAIN or len(rows) >= _MOST_KEYS:
        raise Conflict(
            f"too many DKIM keys; allowed: {_MOST_KEYS_OF_DOMAIN} for a domain, {_MOST_KEYS} in all"
        )
    selector = request.selector or next_selector(selectors)
    if selector in selectors:
        raise Conflict(f"the domain has a DKIM key with the selector {selector} already")
    return selector


@operation("dkim.create", mutates=True, before=_with_private_key)
def create(context: Context, request: DkimKeyIn) -> DkimKeySaved:
    """Add a DKIM key to a domain, whose mails are then signed with it, too.

    Raises Conflict if the selector is used already, or if there are too many keys.
    """
    assert request.private_key is not None, "`before` sets it"
    table = context.tables.of_feature(DkimKeysTable)
    selector = _free_selector(context.connection, table, context.tenant_id, request)
    row = {
        "tenant_id": context.tenant_id,
        "domain": request.domain,
        "selector": selector,
        "algorithm": request.algorithm,
        "private_key": request.private_key,
        "record": record_value(request.private_key),
        "created_at": context.now,
    }
    table.insert(context.connection, row)
    context.publish(DirectoryChanged())
    return DkimKeySaved(domain=request.domain, selector=selector, dns=_dns(row))


@operation("dkim.list", scope=Scope.TENANT_OR_ALL)
def list_keys(context: Context, request: None) -> DkimKeysOut:
    """Return the DKIM keys without their private halves.

    They are of one tenant or, for the administrator who names none, of all.
    """
    table = context.tables.of_feature(DkimKeysTable)
    return DkimKeysOut(
        keys=[
            DkimKeyOut(
                tenant_id=row["tenant_id"],
                domain=row["domain"],
                selector=row["selector"],
                algorithm=row["algorithm"],
                dns=_dns(row),
                created_at=int(row["created_at"]),
            )
            for row in table.of_tenant(context.connection, context.tenant_id or EVERY_TENANT)
        ]
    )


@operation("dkim.delete", mutates=True)
def delete(context: Context, request: DkimKeyRef) -> Done:
    """Remove a key; mails that are sent from now on are not signed with it."""
    table = context.tables.of_feature(DkimKeysTable)
    identity = {"domain": request.domain, "selector": request.selector}
    if not table.delete(context.connection, tenant_id=context.tenant_id, **identity):
        raise NotFound("no such DKIM key")
    context.publish(DirectoryChanged())
    return Done()


async def _compare(parts: Parts, published: _Published) -> DkimCheckOut:
    """Ask the DNS, for at most five seconds."""
    found, reason = list[str](), None
    try:
        found = await DnsRecords(parts.config.dns_servers).texts(published.name)
    except LookupFailed as error:
        reason = f"the DNS gave no answer: {error}"
    return DkimCheckOut(
        ok=reason is None,
        matches=any(publishes_same_key(published.expected, record) for record in found),
        expected=published.expected,
        found=found,
        error=reason,
    )


@operation("dkim.check", mutates=True, then=_compare)
def check(context: Context, request: DkimKeyRef) -> _Published:
    """Compare a DKIM key with its TXT record in the DNS.

    Returns the name to look up and the text that should be there.

    It changes nothing, but asks other hosts: so it is audited.
    """
    row = context.tables.of_feature(DkimKeysTable).find(
        context.connection,
        tenant_id=context.tenant_id,
        domain=request.domain,
        selector=request.selector,
    )
    if row is None:
        raise NotFound("no such DKIM key")
    return _Published(record_name(row["domain"], row["selector"]), row["record"])


def _dns(row: Row) -> DnsRecord:
    name = record_name(row["domain"], row["selector"])
    return DnsRecord(name=name, type="TXT", value=row["record"])


ALL = (create, list_keys, delete, check)
