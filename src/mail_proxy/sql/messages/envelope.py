"""Envelope of a raw message whose recipients are in its header alone."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

_SET = text(
    "UPDATE message_payload SET recipients = :recipients, subject = :subject WHERE pk = :pk"
)


def set_envelope(connection: Connection, pk: str, recipients: Sequence[str], subject: str) -> None:
    """Store recipients and subject of a message, so that searches and bounces find it."""
    values = {"pk": pk, "recipients": " ".join(recipients), "subject": subject}
    connection.execute(_SET, values)
