"""Reads and writes of one table, with rows as dictionaries and secrets encrypted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Final

from sqlalchemy import Column, ColumnElement, Connection, and_, func, select
from sqlalchemy import Table as SqlTable
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from mail_proxy.encryption import encrypt_value_with_key
from mail_proxy.errors import EncryptionError, NotFound
from mail_proxy.sql.keys import context_of, open_value, prove_key
from mail_proxy.sql.types import Sealed

Row = dict[str, Any]
Columns = ReadOnlyColumnCollection
__all__ = [
    "EVERY_TENANT",
    "Column",
    "Columns",
    "Damaged",
    "EveryTenant",
    "RecordUpdater",
    "Row",
    "Table",
]


class EveryTenant(Enum):
    """Value for ``tenant_id`` in a query over the rows of all tenants."""

    EVERY_TENANT = "every tenant"


EVERY_TENANT: Final = EveryTenant.EVERY_TENANT


@dataclass(frozen=True)
class Damaged:
    """Placeholder in a row for a secret that cannot be decrypted.

    ``reason`` names its place.
    """

    reason: str


class RecordUpdater(Row):
    """Row that was read under a lock; ``Table.record`` writes its changes at the end.

    ``before`` is the row as it was read.
    """

    def __init__(self, row: Mapping[str, Any]) -> None:
        super().__init__(row)
        self.before: Mapping[str, Any] = dict(row)

    @property
    def changes(self) -> Row:
        """The columns that differ from the row that was read."""
        return {k: v for k, v in self.items() if k not in self.before or self.before[k] != v}


class Table:
    """Statements over one table, run inside a transaction of ``SqlDb``.

    Subclasses set ``schema`` and may override the hooks ``before_write`` (returns the values to
    write) and ``after_write`` (also after deletes). Columns of type ``Sealed`` are encrypted
    on the way in and decrypted on the way out, bound to table, column and primary key; the
    insert of such a row must therefore name its whole key.

    Reading a secret that is damaged or was moved raises EncryptionError. If the class sets
    ``keeps_damaged``, the row has ``Damaged`` instead.

    A query over a table whose rows belong to tenants must have ``tenant_id``; without it, it is a
    TypeError. ``EVERY_TENANT`` selects the rows of all tenants.
    """

    schema: ClassVar[SqlTable]
    keeps_damaged: ClassVar[bool] = False

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._sealed = [c.name for c in self.schema.columns if isinstance(c.type, Sealed)]
        self._identity = [c.name for c in self.schema.primary_key.columns]

    @property
    def columns(self) -> Columns[str, Column[Any]]:
        return self.schema.columns

    def before_write(self, connection: Connection, values: Row) -> Row:
        """Return the values to write, before each insert and update. Hook of subclasses."""
        return values

    def after_write(self, connection: Connection) -> None:
        """Do nothing after each insert, update and delete. Hook of subclasses."""

    def insert(self, connection: Connection, values: Row) -> None:
        values = self._seal(connection, self.before_write(connection, values), values)
        connection.execute(self.schema.insert().values(values))
        self.after_write(connection)

    def update(self, connection: Connection, identity: Row, values: Row) -> None:
        """Write ``values`` to the row with the primary key ``identity``.

        Raises NotFound if the row does not exist.
        """
        values = self._seal(connection, self.before_write(connection, values), identity)
        statement = self.schema.update().where(self._where(identity)).values(values)
        if connection.execute(statement).rowcount == 0:
            raise NotFound(f"no such {self.schema.name}")
        self.after_write(connection)

    def delete(self, connection: Connection, *conditions: ColumnElement[bool], **where: Any) -> int:
        """Delete the rows that match all conditions; return their number."""
        statement = self.schema.delete().where(self._where(where), *conditions)
        removed = connection.execute(statement).rowcount
        self.after_write(connection)
        return removed

    def select(
        self,
        connection: Connection,
        *conditions: ColumnElement[bool],
        order_by: Any = (),
        limit: int | None = None,
        **where: Any,
    ) -> list[Row]:
        """Return the rows that match all conditions."""
        statement = select(self.schema).where(self._where(where), *conditions).limit(limit)
        order = order_by if isinstance(order_by, tuple) else (order_by,)
        result = connection.execute(statement.order_by(*order))
        return [self._open(dict(row._mapping)) for row in result]

    def values(
        self,
        connection: Connection,
        names: Sequence[str],
        *conditions: ColumnElement[bool],
        **where: Any,
    ) -> Iterator[Sequence[Any]]:
        """Yield the values of some columns, none of them sealed, of the rows that match.

        For tables of many rows: a row takes no dictionary.
        """
        assert not set(names) & set(self._sealed), "select opens sealed columns"
        statement = select(*(self.schema.columns[name] for name in names))
        yield from connection.execute(statement.where(self._where(where), *conditions))

    def find(self, connection: Connection, **where: Any) -> Row | None:
        """Return the row that matches, or None."""
        rows = self.select(connection, limit=1, **where)
        return rows[0] if rows else None

    def get(self, connection: Connection, **where: Any) -> Row:
        """Return the row that matches; raise NotFound if there is none."""
        row = self.find(connection, **where)
        if row is None:
            raise NotFound(f"no such {self.schema.name}")
        return row

    def count(self, connection: Connection, *conditions: ColumnElement[bool], **where: Any) -> int:
        statement = select(func.count()).select_from(self.schema)
        return int(
            connection.execute(statement.where(self._where(where), *conditions)).scalar_one()
        )

    @contextmanager
    def record(self, connection: Connection, **identity: Any) -> Iterator[RecordUpdater]:
        """Lock and read a row; write the changes that the block makes to it.

        Raises NotFound if the row does not exist. If the block raises, nothing is written.
        """
        statement = select(self.schema).where(self._where(identity)).with_for_update()
        row = connection.execute(statement).first()
        if row is None:
            raise NotFound(f"no such {self.schema.name}")
        record = RecordUpdater(self._open(dict(row._mapping)))
        yield record
        if record.changes:
            key = {name: record.before[name] for name in self._identity}
            self.update(connection, {**identity, **key}, record.changes)

    def _where(self, where: Mapping[str, Any]) -> ColumnElement[bool]:
        if "tenant_id" in self.schema.columns and where.get("tenant_id") is None:
            raise TypeError(f"{self.schema.name}: a query has to name its tenant")
        named = {k: v for k, v in where.items() if v is not EVERY_TENANT}
        return and_(True, *(self.schema.columns[name] == value for name, value in named.items()))

    def _seal(self, connection: Connection, values: Row, identity: Mapping[str, Any]) -> Row:
        secrets = {c: values[c] for c in self._sealed if values.get(c) is not None}
        if secrets and "instance" in self.schema.metadata.tables:
            prove_key(connection, self._key, lock=True)
        row = [identity[name] for name in self._identity] if secrets else []
        for name, secret in secrets.items():
            if isinstance(secret, Damaged):
                raise EncryptionError(secret.reason)
            context = context_of(self.schema.name, name, row)
            secrets[name] = encrypt_value_with_key(secret, self._key, context)
        return {**values, **secrets}

    def _open(self, row: Row) -> Row:
        identity = [row[name] for name in self._identity]
        for name in self._sealed:
            if row.get(name) is not None:
                row[name] = self._opened(row[name], name, identity)
        return row

    def _opened(self, value: str, column: str, identity: Sequence[Any]) -> str | Damaged:
        try:
            return open_value(value, self._key, self.schema.name, column, identity)
        except EncryptionError as error:
            if self.keeps_damaged:
                return Damaged(str(error))
            raise
