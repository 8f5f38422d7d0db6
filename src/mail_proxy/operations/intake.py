"""Operation ``messages.add``: check messages one by one, store them in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mail_proxy.config import QueueConfig
from mail_proxy.domain.facts import MessagesAdded
from mail_proxy.domain.mail import Mail
from mail_proxy.errors import Conflict, ConstraintViolated, Malformed, RequestError
from mail_proxy.kit.batching import Batcher
from mail_proxy.kit.ids import uuid7
from mail_proxy.kit.side_thread import SideThread
from mail_proxy.operations.audit import audit_row
from mail_proxy.operations.callers import Caller
from mail_proxy.operations.operation import Operation, Scope
from mail_proxy.operations.parts import Parts
from mail_proxy.operations.quotas import Load, QueueQuota, quotas_in
from mail_proxy.smtp.extra_headers import check_extra_headers
from mail_proxy.sql import Connection
from mail_proxy.sql.directory import Snapshot
from mail_proxy.sql.messages.insert import Added, NewMessage, Stored
from mail_proxy.sql.messages.mail_codec import dump_head, dump_mail
from mail_proxy.sql.table import Row
from mail_proxy.sql.tables.instance import directory_version
from mail_proxy.telemetry.log import Action, log
from mail_proxy.wire.new_messages import (
    AddMessagesOut,
    DuplicateOut,
    MessageIn,
    ParsedBatch,
    RejectedOut,
    Rejection,
    parse_batch,
)

_MOST_CALLS_A_COMMIT = 64
#: A larger body, and a call with more messages and addresses than this, is read and checked beside
#: the event loop. The slowest address takes 0.4 ms.
_READ_AT_ONCE_BYTES = 64_000
_CHECKED_AT_ONCE = 50
_BESIDE = SideThread("intake")
_ATTEMPTS = 4
_NO_LOAD = Load()


@dataclass(slots=True)
class _Draft:
    """A checked message; its account is looked up when it is stored."""

    request: MessageIn
    tenant_id: str
    pk: str
    recipients: str
    content: str
    head: str | None
    size: int
    priority: int


@dataclass(slots=True)
class _Call:
    """The drafts of one call, with the messages that are already rejected."""

    caller: Caller
    drafts: list[_Draft]
    rejected: list[RejectedOut]
    tenants: set[str] = field(default_factory=set)


class Intake:
    """Intake of messages: calls that arrive during a commit share the next commit."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._quota = QueueQuota(
            partial(parts.db.read, parts.tables.messages.load),
            quotas_in(parts.directory, parts.config.quotas),
        )
        self._batcher: Batcher[_Call, AddMessagesOut] = Batcher(
            "intake", self._flush, _MOST_CALLS_A_COMMIT
        )

    async def call(self, caller: Caller, request: ParsedBatch) -> AddMessagesOut:
        """Queue the valid messages of a batch; when this returns they are on disk.

        Raises DiskShort while the disk has too little room, Forbidden for another tenant's name,
        and RequestError (400) with all rejections in its detail if no message is valid.
        """
        await self._parts.disk.check()
        snapshot = self._parts.directory.snapshot
        if not snapshot.tenants:
            snapshot = await self._parts.directory.current()
        if _count(request.messages) <= _CHECKED_AT_ONCE:
            call = _check(caller, request, snapshot)
        else:
            call = await _BESIDE.run(_check, caller, request, snapshot)
        if not call.drafts:
            raise _nothing_usable(call.rejected)
        async with self._quota.room(_loads(call.drafts)):
            answer = await self._batcher.submit(call)
        if answer.queued == 0 and not answer.duplicates:
            raise _nothing_usable(answer.rejected)
        return answer

    async def drained(self) -> None:
        """Wait until every call that has begun is stored."""
        await self._batcher.drained()

    async def _flush(self, calls: Sequence[_Call]) -> list[AddMessagesOut]:
        snapshot = self._parts.directory.snapshot
        for attempt in range(_ATTEMPTS):
            now = self._parts.clock.now()
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
            return [
                _answer(call, of_call, results)
                for call, of_call, results in zip(calls, rows, stored, strict=True)
            ]
        raise Conflict("tenants and accounts keep being removed; try again")

    def _rows(self, call: _Call, snapshot: Snapshot, now: float) -> list[NewMessage | str]:
        """Return for each draft the row to store, or the reason why it is rejected."""
        call.tenants = {draft.tenant_id for draft in call.drafts}
        return [_row(draft, snapshot, now) for draft in call.drafts]

    def _store(
        self,
        connection: Connection,
        calls: Sequence[_Call],
        rows: Sequence[Sequence[NewMessage | str]],
        version: int,
        now: float,
        must_match: bool,
    ) -> list[list[Added]] | None:
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
        results = iter(self._parts.tables.messages.add(connection, messages) if messages else [])
        stored, audit = [], []
        for call, of_call in zip(calls, rows, strict=True):
            good = [row for row in of_call if isinstance(row, NewMessage)]
            stored.append([next(results) for _ in good])
            audit.append(_audit(call, good, now))
        self._parts.tables.command_log.insert_many(connection, audit)
        return stored


async def read_batch(body: bytes | bytearray, most: int) -> ParsedBatch:
    """Read an add-messages body as ``parse_batch``, a large one beside the event loop."""
    if len(body) <= _READ_AT_ONCE_BYTES:
        return parse_batch(body, most)
    return await _BESIDE.run(parse_batch, body, most)


def _count(messages: Sequence[MessageIn | Rejection]) -> int:
    """Return the number of messages and addresses, or more.

    A text counts by its commas.
    """
    return sum(
        1 + sum(_addresses(field) for field in (m.to, m.cc, m.bcc, m.reply_to))
        for m in messages
        if isinstance(m, MessageIn)
    )


def _addresses(field: list[str] | str) -> int:
    return field.count(",") + 1 if isinstance(field, str) else len(field)


def _check(caller: Caller, batch: ParsedBatch, snapshot: Snapshot) -> _Call:
    """Parse the addresses of all messages; reject those that are wrong."""
    call = _Call(caller, [], [])
    usual_priority = batch.default_priority
    if usual_priority is None:
        usual_priority = snapshot.queue.default_priority
    for message in batch.messages:
        if isinstance(message, Rejection):
            call.rejected.append(RejectedOut(id=message.id, reason=message.reason))
            continue
        try:
            tenant_id = caller.reach(message.tenant_id, snapshot)
            call.drafts.append(_draft(message, tenant_id, usual_priority))
        except (ValueError, Malformed) as error:
            call.rejected.append(RejectedOut(id=message.id, reason=str(error)))
    return call


def _draft(message: MessageIn, tenant_id: str, usual_priority: int) -> _Draft:
    pk = uuid7()
    mail = message.mail(pk)
    if mail.headers:
        _check_headers(mail)
    priority = usual_priority if message.priority is None else message.priority
    content = dump_mail(mail)
    head = dump_head(mail, content)
    size = len(content) if content.isascii() else len(content.encode())
    if head is not None:
        # ``content`` has the bodies: a large call would hold them twice until it is stored.
        message.body, message.body_html = "", None
    recipients = " ".join(mail.recipients)
    return _Draft(message, tenant_id, pk, recipients, content, head, size, priority)


def _loads(drafts: Sequence[_Draft]) -> dict[str, Load]:
    """Return the number and size of the drafts of each tenant."""
    loads: dict[str, Load] = {}
    for draft in drafts:
        count, size = loads.get(draft.tenant_id, _NO_LOAD)
        loads[draft.tenant_id] = Load(count + 1, size + draft.size)
    return loads


def _check_headers(mail: Mail) -> None:
    """Raise ValueError for headers that delivery could not write."""
    try:
        check_extra_headers(mail.headers)
    except ValueError as error:
        raise ValueError(f"headers: {str(error).removeprefix('header ')}") from None


def _audit(call: _Call, stored: Sequence[NewMessage], now: float) -> Row:
    about = next(iter(call.tenants)) if len(call.tenants) == 1 else None
    payload = {"messages": [{"id": message.id} for message in stored]}
    return audit_row(call.caller, add.name, now, about, payload)


def _log_queued(
    calls: Sequence[_Call],
    rows: Sequence[Sequence[NewMessage | str]],
    stored: Sequence[Sequence[Added]],
    snapshot: Snapshot,
) -> None:
    for call, of_call, results in zip(calls, rows, stored, strict=True):
        messages = [row for row in of_call if isinstance(row, NewMessage)]
        for message, result in zip(messages, results, strict=True):
            if isinstance(result, Stored):
                log(
                    Action.MESSAGE_QUEUED,
                    request_id=call.caller.request_id,
                    tenant_id=message.tenant_id,
                    account_id=snapshot.accounts[message.account_pk].id,
                    message_id=message.id,
                )


def _added(calls: Sequence[_Call], rows: Sequence[Sequence[NewMessage | str]]) -> MessagesAdded:
    pks = {row.account_pk for of_call in rows for row in of_call if isinstance(row, NewMessage)}
    return MessagesAdded(frozenset().union(*(call.tenants for call in calls)), frozenset(pks))


def _row(draft: _Draft, snapshot: Snapshot, now: float) -> NewMessage | str:
    request, tenant_id = draft.request, draft.tenant_id
    if tenant_id not in snapshot.tenants:
        return "tenant_id: no such tenant"
    if request.account_id is None:
        account = snapshot.default_accounts.get(tenant_id)
        if account is None:
            return "account_id: required, because there is no default account"
    else:
        account = snapshot.accounts_by_id.get((tenant_id, request.account_id))
        if account is None:
            return "account_id: no such account"
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
        client_message_id=request.message_id,
        recipients=draft.recipients,
        subject=request.subject,
        content=draft.content,
        size=draft.size,
        head=draft.head,
    )


def _answer(
    call: _Call, rows: Sequence[NewMessage | str], results: Sequence[Added]
) -> AddMessagesOut:
    rejected, duplicates = list(call.rejected), []
    outcomes = iter(results)
    queued = replaced = 0
    for draft, row in zip(call.drafts, rows, strict=True):
        if isinstance(row, str):
            rejected.append(RejectedOut(id=draft.request.id, reason=row))
            continue
        added = next(outcomes)
        if isinstance(added, Stored):
            queued += 1
            replaced += added is Stored.REPLACED
        else:
            duplicates.append(DuplicateOut(id=draft.request.id, status=added))
    return AddMessagesOut(
        queued=queued, replaced=replaced, duplicates=duplicates, rejected=rejected
    )


def _nothing_usable(rejected: Sequence[RejectedOut]) -> RequestError:
    detail: Any = {"rejected": [r.model_dump() for r in rejected]}
    return RequestError("no usable message in the call", detail)


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
