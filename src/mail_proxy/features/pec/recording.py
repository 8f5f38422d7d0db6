"""Record receipts: archive, events, state of each recipient."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mail_proxy.domain.certified import STATUS_OF
from mail_proxy.domain.facts import EventsAdded
from mail_proxy.features.pec.archive import ReceiptArchive
from mail_proxy.features.pec.step import PROVED
from mail_proxy.imap import ImapTrouble
from mail_proxy.inbound.pec.receipt import PecReceiptInfo, PecReceiptParser
from mail_proxy.inbound.pec.signature import SignatureCheck, SignatureState
from mail_proxy.kit.private_files import UnsafeFile
from mail_proxy.operations.parts import Parts
from mail_proxy.sql import Connection
from mail_proxy.sql.messages.certified import (
    StoredMessage,
    find_by_id,
    find_by_pk,
    mark_proved,
)
from mail_proxy.sql.messages.events import NewEvent
from mail_proxy.sql.tables.pec import CertifiedMessage, Receipt, with_news
from mail_proxy.telemetry.log import Action, log

_ACCEPTANCE, _RELAY = "pec_acceptance", "pec_relay"
_REFUSAL = "non-accettazione"
#: Receipts that the provider sends only after it has accepted the message: they prove it if the
#: receipt of acceptance is late or lost.
_PROOFS = frozenset(
    {
        "accettazione",
        "presa-in-carico",
        "avvenuta-consegna",
        "preavviso-errore-consegna",
        "errore-consegna",
        "mancata-consegna",
    }
)
#: A message that is being sent is looked at again after this time, once its outcome is there.
LOOK_AGAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class FoundReceipt:
    """A receipt, read and verified, with its octets."""

    info: PecReceiptInfo
    signature: SignatureState
    sha256: str
    octets: bytes


class ReceiptRecording:
    """Handler of the mails of one PEC account's mailbox.

    A receipt can be about messages of the account's tenant only.
    """

    def __init__(
        self,
        parts: Parts,
        tenant_id: str,
        archive: ReceiptArchive,
        check: SignatureCheck,
        on_change: Callable[[], None],
    ) -> None:
        """``on_change`` is called when a message may have to be looked at again."""
        self._parts = parts
        self._tenant_id = tenant_id
        self._archive = archive
        self._check = check
        self._on_change = on_change
        self._parser = PecReceiptParser()

    def read(self, octets: bytes) -> FoundReceipt | None:
        """Return a receipt, or None for every other mail."""
        info = self._parser.parse(octets)
        if info.event is None:
            return None
        state = self._check.check(octets, self._parts.clock.now())
        return FoundReceipt(info, state, hashlib.sha256(octets).hexdigest(), octets)

    async def prepare(self, found: FoundReceipt) -> None:
        """Archive a receipt of a message that is here.

        Raises ImapTrouble if it cannot be written; then it is read again later.
        """
        if await self._parts.db.read(self._message, found.info) is None:
            return
        try:
            await asyncio.to_thread(self._archive.keep, found.sha256, found.octets)
        except (OSError, UnsafeFile) as error:
            raise ImapTrouble("archive", f"receipts cannot be written: {error}") from None

    def store(self, connection: Connection, found: FoundReceipt, now: float) -> bool:
        """Append the events of a receipt; return False if its message is not here."""
        message = self._message(connection, found.info, lock=True)
        if message is None:
            log(
                Action.PEC_UNMATCHED,
                tenant_id=self._tenant_id,
                kind=found.info.receipt_type or "",
            )
            return False
        pec, info = self._parts.tables.pec, found.info
        state = pec.locked(connection, message.pk)
        if state is None:  # it was sent by a version without receipts
            message_id = info.message_id or ""
            pec.begin(connection, message.pk, message.tenant_id, message_id, now, now)
            state = pec.locked(connection, message.pk)
        assert state is not None, "it was just made"
        data = _details(found)
        receipt = Receipt(found.sha256, now, len(found.octets), {**data, "event": info.event})
        if not pec.add_receipt(connection, message.pk, message.tenant_id, receipt):
            return True  # the mailbox of another account has the same receipt
        self._append(connection, message, found, data, now)
        if found.signature is SignatureState.INVALID:
            log(
                Action.PEC_SIGNATURE_INVALID,
                tenant_id=message.tenant_id,
                message_id=message.id,
                kind=info.receipt_type or "",
            )
        else:
            self._change(connection, message, state, info, now)
        return True

    def stays(self, found: FoundReceipt) -> bool:
        """Return False: what becomes of receipts is said by the mailbox's settings."""
        return False

    def stored(self, found: Sequence[Any]) -> None:
        """Wake the reporter."""
        self._parts.bus.publish(EventsAdded())
        self._on_change()

    def _message(
        self, connection: Connection, info: PecReceiptInfo, *, lock: bool = False
    ) -> StoredMessage | None:
        """Return the message of a receipt: by its Message-ID, else by its tracking id."""
        pec, tenant_id = self._parts.tables.pec, self._tenant_id
        if info.message_id is not None:
            pk = pec.with_message_id(connection, tenant_id, info.message_id)
            if pk is not None:
                return find_by_pk(connection, tenant_id, pk, lock=lock)
        if info.tracking_id is None:
            return None
        message = find_by_id(connection, tenant_id, info.tracking_id, lock=lock)
        is_ours = message is not None and pec.among(connection, [message.pk])
        return message if is_ours else None

    def _append(
        self,
        connection: Connection,
        message: StoredMessage,
        found: FoundReceipt,
        data: dict[str, Any],
        now: float,
    ) -> None:
        """Append one event, or one for each recipient if the receipt is about several."""
        info = found.info
        assert info.event is not None, "other mails are not stored"
        of_each = info.event == _RELAY and len(info.recipients) > 1
        addresses = info.recipients if of_each else (info.recipient,)
        events = [
            NewEvent(
                message.pk,
                message.tenant_id,
                message.account_pk,
                info.event,
                now,
                {**data, "recipient": address},
            )
            for address in addresses
        ]
        self._parts.tables.events.append(connection, events)
        log(
            Action.PEC_RECORDED,
            tenant_id=message.tenant_id,
            message_id=message.id,
            kind=info.receipt_type or "",
        )

    def _change(
        self,
        connection: Connection,
        message: StoredMessage,
        state: CertifiedMessage,
        info: PecReceiptInfo,
        now: float,
    ) -> None:
        """Change the state of the message and its recipients as a receipt says."""
        assert info.event is not None, "other mails are not stored"
        news = {"ts": now, "error": info.error, "error_reason": info.error_reason}
        about = _addressed(info, message)
        known = with_news(state.recipients, about, STATUS_OF[info.event], news)
        changes: dict[str, Any] = {"recipients": known}
        if info.receipt_type == _REFUSAL:
            changes["due_at"] = None  # no acceptance will come
        elif info.receipt_type in _PROOFS and state.accepted_at is None:
            changes["accepted_at"] = now
            changes["due_at"] = self._proved(connection, message, info, now)
        self._parts.tables.pec.change(connection, message.pk, **changes)

    def _proved(
        self, connection: Connection, message: StoredMessage, info: PecReceiptInfo, now: float
    ) -> float | None:
        """Mark an accepted message as sent; return when to look at it again, or None."""
        if message.may_be_proved:
            accepted = info.recipients if info.event == _ACCEPTANCE else ()
            events = self._parts.tables.events
            mark_proved(connection, events, message, accepted, PROVED, now)
        return now + LOOK_AGAIN_SECONDS if message.state == "sending" else None


def _addressed(info: PecReceiptInfo, message: StoredMessage) -> Sequence[str]:
    """Return the recipients that a receipt is about.

    None, if the receipt names several and may be about one of them.
    """
    if info.event == _ACCEPTANCE or info.receipt_type == _REFUSAL:
        return info.recipients or message.recipients
    if info.event == _RELAY or len(info.recipients) == 1:
        return info.recipients
    return message.recipients if len(message.recipients) == 1 else ()


def _details(found: FoundReceipt) -> dict[str, Any]:
    """Return the data of the events of a receipt."""
    info = found.info
    return {
        "receipt_type": info.receipt_type,
        "recipient": info.recipient,
        "receipt_message_id": info.receipt_message_id,
        "identifier": info.identifier,
        "timestamp": info.timestamp,
        "provider": info.provider,
        "error": info.error,
        "error_reason": info.error_reason,
        "signature": str(found.signature),
        "sha256": found.sha256,
    }
