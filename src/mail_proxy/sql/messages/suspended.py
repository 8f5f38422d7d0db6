"""Hold messages of suspended batches outside the index that claims read.

A suspension is in effect from its commit, because each claim checks for it. ``held`` only keeps
claims from reading past a million suspended messages again and again. The held messages of a
batch are always its last ones in the order of sending: they are held from the end and released
from the beginning, and while there are some, new ones join them. So a batch stays in order,
however often it is suspended and activated meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from mail_proxy.domain.tenant import EVERYTHING
from mail_proxy.sql import conditions
from mail_proxy.sql.adapters import Shape
from mail_proxy.sql.db import SqlDb

_BATCH: Shape = (("tenant_id", "text"), ("batch_code", "text"))
#: ORDER BY with LIMIT 1 instead of EXISTS leaves PostgreSQL no choice but the partial index.
_TO_HOLD = text(
    "SELECT suspension.tenant_id, suspension.batch_code FROM suspension "
    f"WHERE suspension.batch_code <> '{EVERYTHING}' AND (SELECT m.pk FROM message AS m "
    "WHERE m.tenant_id = suspension.tenant_id AND m.batch_code = suspension.batch_code "
    f"AND {conditions.ready_of_batch('m')} ORDER BY m.priority, m.due_at, m.pk LIMIT 1) IS NOT NULL"
)
#: One step for each batch that has held messages, not one for each message: the next batch of the
#: tenant, else the first one of the next tenant. (SQLite steps over equal pairs one by one where
#: both columns are compared at once.)
_HELD_BATCHES = (
    "WITH RECURSIVE found(pk, tenant_id, batch_code) AS ("
    "SELECT m.pk, m.tenant_id, m.batch_code FROM message AS m WHERE m.pk = "
    "(SELECT pk FROM message WHERE held ORDER BY tenant_id, batch_code LIMIT 1) "
    "UNION ALL SELECT m.pk, m.tenant_id, m.batch_code FROM found JOIN message AS m ON m.pk = "
    "coalesce((SELECT n.pk FROM message AS n WHERE n.held AND n.tenant_id = found.tenant_id "
    "AND n.batch_code > found.batch_code ORDER BY n.batch_code LIMIT 1), "
    "(SELECT n.pk FROM message AS n WHERE n.held AND n.tenant_id > found.tenant_id "
    "ORDER BY n.tenant_id, n.batch_code LIMIT 1))) "
)
_TO_RELEASE = text(
    f"{_HELD_BATCHES}SELECT tenant_id, batch_code FROM found WHERE NOT EXISTS "
    "(SELECT 1 FROM suspension WHERE suspension.tenant_id = found.tenant_id "
    "AND suspension.batch_code = found.batch_code)"
)
_SUSPENDED = (
    "EXISTS (SELECT 1 FROM suspension WHERE suspension.tenant_id = rows.tenant_id "
    "AND suspension.batch_code = rows.batch_code)"
)
_OF_BATCH = "candidate.tenant_id = rows.tenant_id AND candidate.batch_code = rows.batch_code"


class Batch(NamedTuple):
    """The messages of a tenant that share a batch code."""

    tenant_id: str
    batch_code: str


class SuspendedMessages:
    """Moves messages out of the queue's index and back. Every method is idempotent."""

    def __init__(self, db: SqlDb) -> None:
        self._db = db

    def unsettled(self, connection: Connection) -> tuple[list[Batch], list[Batch]]:
        """Return batches with messages to hold, and batches with messages to release.

        The cost grows with the batches that are suspended or held, not with their messages.
        """
        to_hold = [Batch(*row) for row in connection.execute(_TO_HOLD)]
        return to_hold, [Batch(*row) for row in connection.execute(_TO_RELEASE)]

    def hold(self, connection: Connection, batch: Batch, limit: int) -> int:
        """Hold up to ``limit`` messages of a suspended batch, the last ones first."""
        where = f"{_SUSPENDED} AND {conditions.ready_of_batch('candidate')}"
        order = "candidate.priority DESC, candidate.due_at DESC, candidate.pk DESC"
        return self._move(connection, batch, where, order, limit, held=True)

    def release(self, connection: Connection, batch: Batch, limit: int) -> int:
        """Release up to ``limit`` messages of an active batch, the first ones first."""
        where = f"NOT {_SUSPENDED} AND candidate.held"
        order = "candidate.priority, candidate.due_at, candidate.pk"
        return self._move(connection, batch, where, order, limit, held=False)

    def join(self, connection: Connection, identities: Sequence[tuple[str, str, str]]) -> None:
        """Hold waiting messages (tenant, id, batch) if their batch has held messages."""
        batches = {Batch(tenant_id, code) for tenant_id, _, code in identities}
        found = self._db.execute_rows(
            connection,
            "SELECT rows.tenant_id, rows.batch_code FROM rows WHERE EXISTS (SELECT 1 "
            "FROM message WHERE message.held AND message.tenant_id = rows.tenant_id "
            "AND message.batch_code = rows.batch_code)",
            _BATCH,
            sorted(batches),
        )
        held = {Batch(*row) for row in found}
        self._db.execute_rows(
            connection,
            "UPDATE message SET held = true FROM rows WHERE message.tenant_id = rows.tenant_id "
            "AND message.id = rows.id AND message.batch_code = rows.batch_code "
            f"AND {conditions.ready()}",
            (("tenant_id", "text"), ("id", "text"), ("batch_code", "text")),
            [(t, id_, code) for t, id_, code in identities if Batch(t, code) in held],
        )

    def _move(
        self,
        connection: Connection,
        batch: Batch,
        where: str,
        order_by: str,
        limit: int,
        *,
        held: bool,
    ) -> int:
        source = self._db.adapter.first_of_each(
            "message", f"{_OF_BATCH} AND {where}", order_by, limit
        )
        found = self._db.execute_rows(connection, f"SELECT message.pk {source}", _BATCH, [batch])
        self._db.execute_rows(
            connection,
            f"UPDATE message SET held = {str(held).lower()} FROM rows WHERE message.pk = rows.pk",
            (("pk", "uuid"),),
            [(row[0],) for row in found],
        )
        return len(found)
