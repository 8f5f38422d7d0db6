"""Table of the mails in which people answered messages."""

from __future__ import annotations

from collections.abc import Sequence

from mail_proxy.sql import Connection
from mail_proxy.sql.declare import BigInteger, Column, ForeignKey, Text, declare_table
from mail_proxy.sql.table import Table

#: Replies of one message that are read together.
_AT_ONCE = 100


class RepliesTable(Table):
    """One row for each event ``reply`` whose mail is kept; it goes with the event.

    ``raw`` is the mail in base64, ``size`` its octets.
    """

    schema = declare_table(
        "message_reply",
        Column(
            "event_seq",
            BigInteger,
            ForeignKey("message_event.seq", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        Column("size", BigInteger, nullable=False),
        Column("raw", Text, nullable=False),
    )

    def sizes(self, connection: Connection, seqs: Sequence[int]) -> int:
        """Return the octets of all kept mails of these events."""
        among = self.columns["event_seq"].in_(seqs[:_AT_ONCE])
        return sum(size for (size,) in self.values(connection, ("size",), among))

    def raws(self, connection: Connection, seqs: Sequence[int]) -> dict[int, str]:
        """Return the kept mails of these events, in base64."""
        among = self.columns["event_seq"].in_(seqs[:_AT_ONCE])
        rows = self.values(connection, ("event_seq", "raw"), among)
        return {row[0]: row[1] for row in rows}
