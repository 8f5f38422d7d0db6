"""Table of claims: duties on the whole database that one process at a time does."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, text, update

from mail_proxy.sql import schema

#: The clocks of two hosts may differ by so much before an expired claim is taken over too early.
SKEW_SECONDS = 15.0
_TAKE = text(
    "INSERT INTO claim (name, owner, until) VALUES (:name, :owner, :until) "
    "ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until "
    "WHERE claim.owner = excluded.owner OR claim.until < :expired RETURNING name"
)


class ClaimsTable:
    """Table of claimed duties by name: ``mailbox:<account>``, ``cleanup:messages``.

    ``owner`` is a ``process_mark``, so that the claims of an ended process can be released before
    they expire. Instants are Unix seconds by the clock of the owner. An owner stops its work at
    ``until``; others wait ``SKEW_SECONDS`` longer.
    """

    def take(
        self, connection: Connection, name: str, owner: str, now: float, seconds: float
    ) -> bool:
        """Claim a duty for ``seconds``; False if another owner holds it.

        Raises ValueError for more than ``LONGEST_CLAIM_SECONDS``.
        """
        values = {"name": name, "owner": owner, "until": _end(now, seconds)}
        expired = now - SKEW_SECONDS
        return connection.execute(_TAKE, {**values, "expired": expired}).first() is not None

    def renew(
        self, connection: Connection, name: str, owner: str, now: float, seconds: float
    ) -> bool:
        """Extend a claim to ``seconds`` from now; False if another owner holds it now."""
        c = schema.claim.c
        statement = update(schema.claim).where(c.name == name, c.owner == owner)
        return connection.execute(statement.values(until=_end(now, seconds))).rowcount > 0

    def release(self, connection: Connection, owner: str, name: str | None = None) -> None:
        """Let others take one duty of ``owner``, or all of its duties."""
        c = schema.claim.c
        statement = delete(schema.claim).where(c.owner == owner)
        connection.execute(statement if name is None else statement.where(c.name == name))

    def owners(self, connection: Connection) -> list[str]:
        """Return every process that holds a claim, also an expired one."""
        return list(connection.execute(select(schema.claim.c.owner).distinct()).scalars())


def _end(now: float, seconds: float) -> float:
    if seconds > schema.LONGEST_CLAIM_SECONDS:
        raise ValueError(f"a claim lasts at most {schema.LONGEST_CLAIM_SECONDS:g} seconds")
    return now + seconds
