"""Record that a recipient has unsubscribed: suppression and event."""

from __future__ import annotations

from mail_proxy.domain.facts import DirectoryChanged, EventsAdded
from mail_proxy.features.suppressions.table import SuppressionsTable
from mail_proxy.operations.parts import Parts
from mail_proxy.operations.unsubscribe_links import Subscription, UnsubscribeLinks
from mail_proxy.sql import Connection
from mail_proxy.sql.messages.events import NewEvent
from mail_proxy.sql.messages.returned import find_of_tenant
from mail_proxy.telemetry.log import Action, log
from mail_proxy.wire.addresses import comparable
from mail_proxy.wire.suppressions import SuppressionReason


class Unsubscribing:
    """Answers the tokens of links to unsubscribe. Doing it twice changes nothing."""

    def __init__(self, parts: Parts, links: UnsubscribeLinks) -> None:
        self._parts = parts
        self._links = links
        self._suppressed = parts.tables.of_feature(SuppressionsTable)

    async def find(self, token: str) -> Subscription | None:
        """Return what a token is about; None if it is forged, or its tenant is gone."""
        found = await self._links.find(token)
        tenants = (await self._parts.directory.current()).tenants
        return found if found is not None and found.tenant_id in tenants else None

    async def unsubscribe(self, subscription: Subscription) -> None:
        """Suppress the address, and report it with the message if that is still there."""
        # A read first: a link that is called again and again costs no write.
        if await self._parts.db.read(self._is_done, subscription):
            return
        if not await self._parts.db.write(self._record, subscription, self._parts.clock.now()):
            return
        self._parts.bus.publish(DirectoryChanged())
        self._parts.bus.publish(EventsAdded())
        log(
            Action.RECIPIENT_UNSUBSCRIBED,
            tenant_id=subscription.tenant_id,
            message_id=subscription.message_id,
            recipient=subscription.address,
        )

    def _is_done(self, connection: Connection, subscription: Subscription) -> bool:
        entry = self._suppressed.find(
            connection,
            tenant_id=subscription.tenant_id,
            address=comparable(subscription.address),
            removed_at=None,
        )
        return entry is not None and entry["reason"] == SuppressionReason.UNSUBSCRIBED

    def _record(self, connection: Connection, subscription: Subscription, now: float) -> bool:
        if self._is_done(connection, subscription):
            return False
        tenant_id, address = subscription.tenant_id, comparable(subscription.address)
        reason = SuppressionReason.UNSUBSCRIBED
        row = {
            "address": address,
            "reason": reason,
            "detail": None,
            "message_id": subscription.message_id,
            "since_at": now,
        }
        if not self._suppressed.add(connection, tenant_id, [row]):
            # It is there for another reason, which says less.
            identity = {"tenant_id": tenant_id, "address": address}
            self._suppressed.update(connection, identity, row)
        message = find_of_tenant(connection, tenant_id, subscription.message_id)
        if message is not None:
            data = {"recipient": subscription.address}
            event = NewEvent(message.pk, tenant_id, message.account_pk, "unsubscribe", now, data)
            self._parts.tables.events.append(connection, [event])
        return True
