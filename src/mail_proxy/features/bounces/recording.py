"""Record bounces and complaints: events of messages, suppressed addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mail_proxy.domain.facts import DirectoryChanged, EventsAdded
from mail_proxy.features.bounces.return_path import pk_in
from mail_proxy.features.bounces.table import NAME, BounceConfig, SoftBouncesTable
from mail_proxy.features.replies.recording import ReplyRecording
from mail_proxy.features.suppressions.table import SuppressionsTable
from mail_proxy.inbound.bounces.info import (
    BounceCategory,
    BouncedRecipient,
    BounceInfo,
    BounceKind,
    BounceType,
)
from mail_proxy.inbound.bounces.parser import BounceParser
from mail_proxy.inbound.replies import Reply, read_reply
from mail_proxy.operations.parts import Parts
from mail_proxy.sql import Connection
from mail_proxy.sql.messages.events import NewEvent
from mail_proxy.sql.messages.returned import ReturnedMessage, find_returned
from mail_proxy.telemetry.log import Action, log
from mail_proxy.wire.addresses import comparable
from mail_proxy.wire.suppressions import SuppressionReason

#: The address does not exist, so no mail will ever arrive.
_DEAD = (BounceCategory.UNKNOWN_USER, BounceCategory.UNKNOWN_HOST)
_MOST_SOFT_BOUNCES = 5
_SOFT_BOUNCE_SECONDS = 30 * 86_400.0
_NOT_SPAM = "not-spam"


class BounceRecording:
    """Handler of the bounce mailbox's mails."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._parser = BounceParser()
        self._suppressed = parts.tables.of_feature(SuppressionsTable)
        self._soft = parts.tables.of_feature(SoftBouncesTable)
        self._replies = ReplyRecording(parts)

    def read(self, octets: bytes) -> BounceInfo | Reply | None:
        """Return what a mail says, or None for a mail to leave."""
        info = self._parser.parse(octets)
        if info.kind is not BounceKind.NONE or info.feedback_type is not None:
            return info
        config: BounceConfig | None = self._parts.directory.snapshot.features.get(NAME)
        return read_reply(octets) if config is not None and config.detect_replies else None

    async def prepare(self, found: BounceInfo | Reply) -> None:
        """Do nothing: all that a bounce changes is in the database."""

    def stays(self, found: BounceInfo | Reply) -> bool:
        """Return True for mails of people, which stay in the mailbox."""
        return isinstance(found, Reply)

    def store(self, connection: Connection, found: BounceInfo | Reply, now: float) -> bool:
        """Append an event for each recipient to the message that came back.

        A bounce of an unknown message counts as handled, too: the mailbox is for bounces only.
        """
        if isinstance(found, Reply):
            self._replies.store(connection, found, now)
        else:
            self._returned(connection, found, now)
        return True

    def _returned(self, connection: Connection, info: BounceInfo, now: float) -> None:
        tokens = [pk for pk in map(pk_in, info.delivered_to) if pk is not None]
        message = find_returned(
            connection,
            tracking_id=info.tracking_id,
            message_id=info.message_id,
            pk=tokens[0] if tokens else None,
            addresses=[recipient.address for recipient in info.recipients],
        )
        if message is None:
            log(Action.BOUNCE_UNMATCHED, kind=info.kind.value)
            return
        for recipient in _of(info, message):
            if info.kind in (BounceKind.BOUNCE, BounceKind.DELAYED):
                self._bounced(connection, info.kind, message, recipient, now)
            elif info.kind is BounceKind.COMPLAINT:
                self._complained(connection, info, message, recipient, now)
            elif info.feedback_type == _NOT_SPAM:
                self._forgiven(connection, message, recipient, now)

    def stored(self, found: Sequence[Any]) -> None:
        """Wake the reporter; have processes read the suppression lists again."""
        self._parts.bus.publish(EventsAdded())
        self._parts.bus.publish(DirectoryChanged())

    def _bounced(
        self,
        connection: Connection,
        kind: BounceKind,
        message: ReturnedMessage,
        recipient: BouncedRecipient,
        now: float,
    ) -> None:
        data = {
            "bounce_type": recipient.type,
            "bounce_code": recipient.code,
            "bounce_reason": recipient.reason,
            "bounce_recipient": recipient.address,
            "bounce_category": recipient.category,
        }
        self._append(connection, message, "bounce", data, recipient, now)
        if not (self._parts.config.suppress_hard_bounces and message.has(recipient.address)):
            return
        is_dead = recipient.type is BounceType.HARD and recipient.category in _DEAD
        if is_dead or (
            kind is BounceKind.BOUNCE
            and recipient.type is BounceType.SOFT
            and self._is_soft_too_often(connection, message, recipient, now)
        ):
            self._suppress(connection, message, recipient, SuppressionReason.BOUNCE, now)

    def _is_soft_too_often(
        self,
        connection: Connection,
        message: ReturnedMessage,
        recipient: BouncedRecipient,
        now: float,
    ) -> bool:
        tenant_id, address = message.tenant_id, comparable(recipient.address)
        self._soft.prune(connection, tenant_id, address, now - _SOFT_BOUNCE_SECONDS)
        count = self._soft.count_with(connection, tenant_id, address, message.pk, now)
        return count >= _MOST_SOFT_BOUNCES

    def _complained(
        self,
        connection: Connection,
        info: BounceInfo,
        message: ReturnedMessage,
        recipient: BouncedRecipient,
        now: float,
    ) -> None:
        data = {"complaint_type": info.feedback_type, "recipient": recipient.address}
        self._append(connection, message, "complaint", data, recipient, now)
        if message.has(recipient.address):
            self._suppress(connection, message, recipient, SuppressionReason.COMPLAINT, now)

    def _forgiven(
        self,
        connection: Connection,
        message: ReturnedMessage,
        recipient: BouncedRecipient,
        now: float,
    ) -> None:
        """Take an address off the list if it is there because of a complaint (RFC 6430)."""
        tenant_id, address = message.tenant_id, comparable(recipient.address)
        entry = self._suppressed.find(connection, tenant_id=tenant_id, address=address)
        if entry is not None and entry["reason"] == SuppressionReason.COMPLAINT:
            self._suppressed.remove(connection, tenant_id, address, now)

    def _suppress(
        self,
        connection: Connection,
        message: ReturnedMessage,
        recipient: BouncedRecipient,
        reason: SuppressionReason,
        now: float,
    ) -> None:
        row = {
            "address": comparable(recipient.address),
            "reason": reason,
            "detail": " ".join(filter(None, (recipient.code, recipient.reason)))[:500] or None,
            "message_id": message.id,
            "since_at": now,
        }
        self._suppressed.add(connection, message.tenant_id, [row])

    def _append(
        self,
        connection: Connection,
        message: ReturnedMessage,
        kind: str,
        data: dict[str, Any],
        recipient: BouncedRecipient,
        now: float,
    ) -> None:
        event = NewEvent(message.pk, message.tenant_id, message.account_pk, kind, now, data)
        self._parts.tables.events.append(connection, [event])
        log(
            Action.BOUNCE_RECORDED,
            tenant_id=message.tenant_id,
            message_id=message.id,
            kind=kind,
            recipient=recipient.address,
            reason=recipient.reason,
        )


def _of(info: BounceInfo, message: ReturnedMessage) -> Sequence[BouncedRecipient]:
    """Return the recipients of a report; without any, the message's only one."""
    if info.recipients or len(message.recipients) != 1:
        return info.recipients
    return [BouncedRecipient(message.recipients[0], reason=info.feedback_type or "")]
