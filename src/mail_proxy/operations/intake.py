"""Operation ``messages.add``: check messages one by one, store them in groups."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mail_proxy.config import QueueConfig
from mail_proxy.domain.certified import objections
from mail_proxy.domain.facts import MessagesAdded
from mail_proxy.domain.message import MessageState
from mail_proxy.errors import Conflict, ConstraintViolated, NothingUsable
from mail_proxy.kit.batching import Batcher
from mail_proxy.kit.ids import Uuid7Maker
from mail_proxy.kit.side_thread import SideThread
from mail_proxy.operations.audit import audit_row
from mail_proxy.operations.callers import Caller, holder_of
from mail_proxy.operations.drafts import Draft, completed, new_draft, price_of, rejected_out
from mail_proxy.operations.message_places import Refused, place_of, tenant_of, wrong_place
from mail_proxy.operations.operation import Operation, Scope
from mail_proxy.operations.parts import Parts
from mail_proxy.operations.quotas import Load, QueueQuota, quotas_in
from mail_proxy.sql import Connection
from mail_proxy.sql.directory import Snapshot
from mail_proxy.sql.messages.insert import Added, NewMessage, Stored
from mail_proxy.sql.table import Row
from mail_proxy.sql.tables.instance import directory_version
from mail_proxy.telemetry.log import Action, log
from mail_proxy.wire.batches import (
    AddMessagesOut,
    DuplicateOut,
    ParsedBatch,
    RejectedOut,
    Rejection,
    parse_batch,
)
from mail_proxy.wire.mistakes import mistake
from mail_proxy.wire.new_messages import RejectionCode, WrongMessage

_MOST_CALLS_A_COMMIT = 64
#: One commit of so many messages takes up to 0.3 s, for which every other call waits.
_MOST_MESSAGES_A_COMMIT = 1000
#: A larger body, and a call with more messages and addresses than this, is read and checked beside
#: the event loop. The slowest address takes 0.4 ms.
READ_AT_ONCE_BYTES = 64_000
_CHECKED_AT_ONCE = 50
_BESIDE = SideThread("intake")
_ATTEMPTS = 4
_MB = 1_000_000
_NO_LOAD = Load()


@dataclass(slots=True)
class _Call:
    """The drafts of one call, with the messages that are already rejected."""

    caller: Caller
    drafts: list[Draft]
    rejected: list[RejectedOut]
    tenants: set[str] = field(default_factory=set)

    def has_valid_key(self, snapshot: Snapshot, now: float) -> bool:
        """Return whether a snapshot has the caller's key, if that has to be proven."""
        key_hash = self.caller.key_hash
        return key_hash is None or holder_of(key_hash, snapshot, now) is not None


#: A message to store, or the reason why there is none.
_Prepared = NewMessage | Refused
#: What became of a message; None for one that was refused.
_Result = Added | None


class Intake:
    """Intake of messages: calls that arrive during a commit share the next commit."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        #: By the clock of ``created_at``: listings by time read a part of the index of pks.
        self._new_pk = Uuid7Maker(parts.clock.now)
        self._quota = QueueQuota(
            partial(parts.db.read, parts.tables.messages.load),
            quotas_in(parts.directory, parts.config.quotas),
        )
        self._batcher: Batcher[_Call, AddMessagesOut | None] = Batcher(
            "intake",
            self._flush,
            _MOST_CALLS_A_COMMIT,
            owner_of=lambda call: call.caller.tenant_id,
            size_of=lambda call: len(call.drafts),
            most_size=_MOST_MESSAGES_A_COMMIT,
        )

    async def call(self, caller: Caller, request: ParsedBatch) -> AddMessagesOut:
        """Queue the valid messages of a batch; when this returns they are on disk.

        Raises DiskShort while the disk has too little room, Forbidden for another tenant's name,
        and NothingUsable (400) with all rejections in its detail if no message is valid.
        """
        await self._parts.disk.check()
        directory = self._parts.directory
        snapshot = directory.snapshot
        if not snapshot.tenants or any(isinstance(m, Rejection) for m in request.messages):
            snapshot = await directory.current()
        if any(getattr(m, "list_unsubscribe", None) is True for m in request.messages):
            await self._parts.unsubscribe_links.prepare()
        call = await self._checked(caller, request, snapshot)
        if call.rejected and (newest := await directory.current()) is not snapshot:
            # Mistakes are looked for in the newest state: the account may have been added just now.
            call = await self._checked(caller, request, newest)
        if not call.drafts:
            raise _nothing_usable(call.rejected)
        async with self._quota.room(_loads(call.drafts)):
            answer = await self._batcher.submit(call)
        assert answer is not None, "the caller's key was not proven"
        return usable(answer)

    def begin(
        self, caller: Caller, request: ParsedBatch
    ) -> asyncio.Future[AddMessagesOut | None] | None:
        """Begin a small call without mistakes; return None for any other call.

        Raises Forbidden for another tenant's name. An answer is to be checked by ``usable``.
        """
        snapshot = self._parts.directory.snapshot
        if not (
            self._parts.disk.is_enough
            and snapshot.tenants
            and price_of(request.messages) <= _CHECKED_AT_ONCE
        ):
            return None
        call = self._check(caller, request, snapshot)
        if call.rejected or not call.drafts:
            return None
        end = self._quota.take_at_once(_loads(call.drafts))
        if end is None:
            return None
        future = self._batcher.submit(call)
        future.add_done_callback(lambda _: end())
        return future

    async def drained(self) -> None:
        """Wait until every call that has begun is stored."""
        await self._batcher.drained()

    async def _flush(self, all_calls: Sequence[_Call]) -> list[AddMessagesOut | None]:
        snapshot = self._parts.directory.snapshot
        for attempt in range(_ATTEMPTS):
            now = self._parts.clock.now()
            calls = [call for call in all_calls if call.has_valid_key(snapshot, now)]
            rows = [self._rows(call, snapshot, now) for call in calls]
            must_match = attempt == 0
            try:
                stored = await self._parts.db.write(
                    self._store, calls, rows, snapshot.version, now, must_match
                )
            except ConstraintViolated:
                stored = None  # an account or tenant was removed in between
            if stored is None:
                snapshot = await self._parts.directory.current()
                continue
            self._parts.bus.publish(_added(calls, rows))
            if self._parts.config.log_delivery_activity:
                _log_queued(calls, rows, stored, snapshot)
            answers = {
                id(call): _answer(call, of_call, results)
                for call, of_call, results in zip(calls, rows, stored, strict=True)
            }
            return [answers.get(id(call)) for call in all_calls]
        raise Conflict("tenants and accounts keep being removed; try again")

    async def _checked(self, caller: Caller, batch: ParsedBatch, snapshot: Snapshot) -> _Call:
        if price_of(batch.messages) <= _CHECKED_AT_ONCE:
            return self._check(caller, batch, snapshot)
        return await _BESIDE.run(self._check, caller, batch, snapshot)

    def _check(self, caller: Caller, batch: ParsedBatch, snapshot: Snapshot) -> _Call:
        """Parse the addresses of all messages; reject those that are wrong."""
        call, new_pk = _Call(caller, [], []), self._new_pk
        most_octets = int(self._parts.config.attachments.max_message_mb * _MB)
        logins, links = self._parts.tables.attachment_logins, self._parts.unsubscribe_links
        usual_priority = batch.default_priority
        if usual_priority is None:
            usual_priority = snapshot.queue.default_priority
        for message in batch.messages:
            if isinstance(message, Rejection):
                whole = completed(message, caller, batch, snapshot, most_octets)
                call.rejected.append(rejected_out(whole))
                continue
            named = message.tenant_id or batch.tenant_id
            try:
                tenant_id = tenant_of(caller, named, snapshot)
                draft = new_draft(
                    message, new_pk(), tenant_id, usual_priority, most_octets, logins, links
                )
                call.drafts.append(draft)
            except WrongMessage as error:
                wrong = error.wrong
                if error.code is RejectionCode.MALFORMED:
                    wrong = [*wrong, *wrong_place(caller, named, message.account_id, snapshot)]
                call.rejected.append(rejected_out(Rejection(message.id, wrong, error.code)))
        return call

    def _rows(self, call: _Call, snapshot: Snapshot, now: float) -> list[_Prepared]:
        """Return for each draft the row to store, or the reason why it is refused."""
        call.tenants = {draft.tenant_id for draft in call.drafts}
        most_mb = self._parts.config.pec.pec_max_mb
        return [_row(draft, snapshot, now, most_mb) for draft in call.drafts]

    def _store(
        self,
        connection: Connection,
        calls: Sequence[_Call],
        rows: Sequence[Sequence[_Prepared]],
        version: int,
        now: float,
        must_match: bool,
    ) -> list[list[_Result]] | None:
        """Store the rows; return None if the directory of ``version`` is too old for that.

        It is the one that this process has in memory, if it ``must_match``.
        """
        messages = [row for of_call in rows for row in of_call if isinstance(row, NewMessage)]
        if directory_version(connection) != version:
            if must_match:
                return None
            # Changes of other accounts do not count: they must not refuse this call.
            used = {message.account_pk for message in messages}
            if not self._parts.tables.accounts.are_living(connection, used):
                return None
        if any(draft.has_login for call in calls for draft in call.drafts):
            self._parts.tables.instance.prove_key(connection)
        results = iter(self._parts.tables.messages.add(connection, messages) if messages else [])
        known = self._expired_before(connection, calls, rows)
        stored, audit = [], []
        for call, of_call in zip(calls, rows, strict=True):
            stored.append(
                [
                    next(results)
                    if isinstance(row, NewMessage)
                    else known.get((draft.tenant_id, draft.request.id))
                    for draft, row in zip(call.drafts, of_call, strict=True)
                ]
            )
            audit.append(_audit(call, [r for r in of_call if isinstance(r, NewMessage)], now))
        self._parts.tables.command_log.insert_many(connection, audit)
        return stored

    def _expired_before(
        self,
        connection: Connection,
        calls: Sequence[_Call],
        rows: Sequence[Sequence[_Prepared]],
    ) -> dict[tuple[str, str], MessageState]:
        """Return the states of expired messages that an earlier call has queued in time.

        A repeated call is success, also if it is late.
        """
        expired = [
            (draft.tenant_id, draft.request.id)
            for call, of_call in zip(calls, rows, strict=True)
            for draft, row in zip(call.drafts, of_call, strict=True)
            if isinstance(row, Refused) and row.code is RejectionCode.EXPIRED
        ]
        return self._parts.tables.messages.states(connection, expired) if expired else {}


async def read_batch(body: bytes | bytearray, most: int) -> ParsedBatch:
    """Read an add-messages body as ``parse_batch``, a large one beside the event loop."""
    if len(body) <= READ_AT_ONCE_BYTES:
        return parse_batch(body, most)
    return await _BESIDE.run(parse_batch, body, most)


def _loads(drafts: Sequence[Draft]) -> dict[str, Load]:
    """Return the number and size of the drafts of each tenant."""
    loads: dict[str, Load] = {}
    for draft in drafts:
        count, size = loads.get(draft.tenant_id, _NO_LOAD)
        loads[draft.tenant_id] = Load(count + 1, size + draft.size)
    return loads


def _audit(call: _Call, stored: Sequence[NewMessage], now: float) -> Row:
    about = next(iter(call.tenants)) if len(call.tenants) == 1 else None
    payload = {"messages": [{"id": message.id} for message in stored]}
    return audit_row(call.caller, add.name, now, about, payload)


def _log_queued(
    calls: Sequence[_Call],
    rows: Sequence[Sequence[_Prepared]],
    stored: Sequence[Sequence[_Result]],
    snapshot: Snapshot,
) -> None:
    for call, of_call, results in zip(calls, rows, stored, strict=True):
        for message, result in zip(of_call, results, strict=True):
            if isinstance(message, NewMessage) and isinstance(result, Stored):
                log(
                    Action.MESSAGE_QUEUED,
                    request_id=call.caller.request_id,
                    tenant_id=message.tenant_id,
                    account_id=snapshot.accounts[message.account_pk].id,
                    message_id=message.id,
                )


def _added(calls: Sequence[_Call], rows: Sequence[Sequence[_Prepared]]) -> MessagesAdded:
    pks = {row.account_pk for of_call in rows for row in of_call if isinstance(row, NewMessage)}
    return MessagesAdded(frozenset().union(*(call.tenants for call in calls)), frozenset(pks))


def _row(draft: Draft, snapshot: Snapshot, now: float, pec_max_mb: float) -> _Prepared:
    request, tenant_id = draft.request, draft.tenant_id
    account = place_of(tenant_id, request.account_id, request.expires_ts, snapshot, now)
    if isinstance(account, Refused):
        return account
    if account.is_pec and draft.shape is not None:
        wrong = [mistake(*each) for each in objections(draft.shape, pec_max_mb)]
        if wrong:
            return Refused(wrong, RejectionCode.NOT_FOR_PEC)
    return NewMessage(
        pk=draft.pk,
        tenant_id=tenant_id,
        id=request.id,
        account_pk=account.pk,
        priority=draft.priority,
        due_at=max(request.deferred_ts or 0.0, now),
        created_at=now,
        batch_code=request.batch_code,
        expires_at=request.expires_ts,
        client_message_id=draft.message_id,
        recipients=draft.recipients,
        subject=draft.subject,
        content=draft.content,
        size=draft.size,
        head=draft.head,
    )


def _answer(call: _Call, rows: Sequence[_Prepared], results: Sequence[_Result]) -> AddMessagesOut:
    rejected, duplicates = list(call.rejected), []
    queued = replaced = 0
    for draft, row, result in zip(call.drafts, rows, results, strict=True):
        if isinstance(result, Stored):
            queued += 1
            replaced += result is Stored.REPLACED
        elif result is not None:
            duplicates.append(DuplicateOut(id=draft.request.id, status=result))
        elif isinstance(row, Refused):
            rejected.append(rejected_out(Rejection(draft.request.id, row.wrong, row.code)))
    return AddMessagesOut(
        queued=queued, replaced=replaced, duplicates=duplicates, rejected=rejected
    )


def usable(answer: AddMessagesOut) -> AddMessagesOut:
    """Return an answer; raises NothingUsable if it has no message.

    It has none if it neither stored one nor found one that is there already.
    """
    if answer.queued == 0 and not answer.duplicates:
        raise _nothing_usable(answer.rejected)
    return answer


def _nothing_usable(rejected: Sequence[RejectedOut]) -> NothingUsable:
    detail: Any = {"rejected": [r.model_dump() for r in rejected]}
    return NothingUsable("no usable message in the call", detail)


def _read(payload: dict[str, Any], queue: QueueConfig) -> ParsedBatch:
    return parse_batch(payload, queue.max_enqueue_batch)


def _shown(batch: ParsedBatch) -> Any:
    """Return what the audit log keeps of a refused batch: the names of its messages."""
    named = [{"id": m.id, "tenant_id": getattr(m, "tenant_id", None)} for m in batch.messages]
    return {"messages": named}


add: Operation[ParsedBatch, AddMessagesOut] = Operation(
    "messages.add",
    Scope.TENANT,
    ParsedBatch,
    AddMessagesOut,
    batch=Intake,
    mutates=True,
    command="addMessages",
    read=_read,
    shown=_shown,
)
ALL = (add,)
