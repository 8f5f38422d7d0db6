"""Record answers of people: an event of the message, and the mail itself."""

from __future__ import annotations

import base64

from mail_proxy.features.bounces.return_path import pk_in
from mail_proxy.features.replies.table import RepliesTable
from mail_proxy.inbound.replies import Reply
from mail_proxy.operations.parts import Parts
from mail_proxy.sql import Connection
from mail_proxy.sql.messages.events import NewEvent
from mail_proxy.sql.messages.returned import ReturnedMessage, find_returned
from mail_proxy.telemetry.log import Action, log

#: Replies of one message that are recorded, and octets of their mails that are kept: anybody who
#: got the message can answer it again and again.
MOST_REPLIES = 50
MOST_KEPT_BYTES = 20_000_000
_MOST_TOKENS = 5


class ReplyRecording:
    """Recorder of answers to messages."""

    def __init__(self, parts: Parts) -> None:
        self._events = parts.tables.events
        self._replies = parts.tables.of_feature(RepliesTable)

    def store(self, connection: Connection, reply: Reply, now: float) -> None:
        """Append the event ``reply`` to the message that is answered, if it is here."""
        message = _answered(connection, reply)
        if message is None:
            return
        events = self._events.of_message(connection, message.tenant_id, message.pk)
        seqs = [event["seq"] for event in events if event["event_type"] == "reply"]
        if len(seqs) >= MOST_REPLIES:
            log(Action.REPLY_IGNORED, tenant_id=message.tenant_id, message_id=message.id)
            return
        data = {"sender": reply.sender, "subject": reply.subject, "excerpt": reply.excerpt}
        event = NewEvent(message.pk, message.tenant_id, message.account_pk, "reply", now, data)
        self._events.append(connection, [event])
        if self._replies.sizes(connection, seqs) + len(reply.raw) <= MOST_KEPT_BYTES:
            [*_, own] = self._events.of_message(connection, message.tenant_id, message.pk)
            kept = {"size": len(reply.raw), "raw": base64.b64encode(reply.raw).decode()}
            self._replies.insert(connection, {"event_seq": own["seq"], **kept})
        log(Action.REPLY_RECORDED, tenant_id=message.tenant_id, message_id=message.id)


def _answered(connection: Connection, reply: Reply) -> ReturnedMessage | None:
    for reference in reply.references:
        found = _message(connection, reference, None)
        if found is not None:
            return found
    tokens = [pk for pk in map(pk_in, reply.delivered_to) if pk is not None]
    for token in tokens[:_MOST_TOKENS]:
        found = _message(connection, None, token)
        if found is not None:
            return found
    return None


def _message(
    connection: Connection, message_id: str | None, pk: str | None
) -> ReturnedMessage | None:
    return find_returned(connection, tracking_id=None, message_id=message_id, pk=pk, addresses=[])
