"""Tables of alerts: troubles that were reported, and the signing secret."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Sequence

from mail_proxy.kit.ids import uuid7
from mail_proxy.sql import Connection
from mail_proxy.sql.declare import (
    RECORD_ONLY,
    BigInteger,
    Column,
    Instant,
    Sealed,
    Text,
    at_most,
    declare_table,
)
from mail_proxy.sql.table import EVERY_TENANT, Row, Table
from mail_proxy.wire.service import Attention

#: Stage of an alert on one channel: nothing sent, its beginning was sent, its end too.
UNSENT, BEGUN, ENDED = 0, 1, 2
#: Columns with the stage on each channel.
CHANNELS = ("email", "url")
_KEY = ("code", "tenant_id", "account_id")


class AlertsTable(Table):
    """One row for each trouble that is or was in the attention list.

    It is removed once its end was sent wherever its beginning was. ``first_at`` is when the
    trouble was first seen, ``over_at`` when it was gone.
    """

    schema = declare_table(
        "alert",
        Column("code", Text, primary_key=True),
        Column("tenant_id", Text, primary_key=True),
        Column("account_id", Text, primary_key=True),
        Column("id", Text, nullable=False),
        Column("text", Text, nullable=False),
        Column("waiting", BigInteger),
        Column("first_at", Instant, info=at_most(0.0), nullable=False),
        Column("over_at", Instant, info=RECORD_ONLY),
        *(Column(name, BigInteger, nullable=False, server_default="0") for name in CHANNELS),
    )

    def follow(self, connection: Connection, current: Sequence[Attention], now: float) -> list[Row]:
        """Insert new troubles and note which are over; return all rows."""
        known = {_key(row): row for row in self.all(connection)}
        seen = {(t.code, t.tenant_id or "", t.account_id or ""): t for t in current}
        for key, trouble in seen.items():
            values = {"text": trouble.text, "waiting": trouble.waiting, "over_at": None}
            identity = dict(zip(_KEY, key, strict=True))
            row = known.get(key)
            if row is None:
                self.insert(connection, {**identity, **values, "id": uuid7(), "first_at": now})
            elif row["over_at"] is not None and ENDED in map(row.get, CHANNELS):
                stages = dict.fromkeys(CHANNELS, UNSENT)
                self.update(
                    connection, identity, {**values, **stages, "id": uuid7(), "first_at": now}
                )
            elif row["over_at"] is not None or row["text"] != trouble.text:
                self.update(connection, identity, values)
        for key, row in known.items():
            if key not in seen and row["over_at"] is None:
                self.update(connection, dict(zip(_KEY, key, strict=True)), {"over_at": now})
        return self.all(connection)

    def mark(self, connection: Connection, rows: Iterable[Row], channel: str) -> None:
        """Mark that the channel has sent the state of these alerts."""
        for row in rows:
            stage = BEGUN if row["over_at"] is None else ENDED
            self.update(connection, {name: row[name] for name in _KEY}, {channel: stage})

    def forget(self, connection: Connection, channels: Sequence[str]) -> int:
        """Remove alerts that are over and have nothing more to send on these channels."""
        done = [
            row
            for row in self.all(connection)
            if row["over_at"] is not None and BEGUN not in [row[name] for name in channels]
        ]
        for row in done:
            self.delete(connection, **{name: row[name] for name in _KEY})
        return len(done)

    def all(self, connection: Connection) -> list[Row]:
        """Return all rows, the oldest first."""
        order = tuple(self.columns[name] for name in ("first_at", *_KEY))
        return self.select(connection, tenant_id=EVERY_TENANT, order_by=order)


class AlertSecretTable(Table):
    """Table with the secret that signs calls to ``alert_url``, if no setting has one."""

    schema = declare_table(
        "alert_secret",
        Column("id", BigInteger, primary_key=True, autoincrement=False),
        Column("secret", Sealed, nullable=False),
    )

    def obtain(self, connection: Connection) -> str:
        """Return the secret; make it the first time."""
        row = self.find(connection, id=1)
        if row is None:
            made = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
            self.insert(connection, row := {"id": 1, "secret": made})
        return str(row["secret"])


def is_due(row: Row, channel: str, now: float, after_seconds: float) -> bool:
    """Return whether the channel has to send the beginning or the end of an alert."""
    if row["over_at"] is None:
        return bool(row[channel] == UNSENT and now - row["first_at"] >= after_seconds)
    return bool(row[channel] == BEGUN)


def _key(row: Row) -> tuple[str, str, str]:
    return row["code"], row["tenant_id"], row["account_id"]
