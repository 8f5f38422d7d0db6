"""Operation on the answers of people to messages."""

from __future__ import annotations

from mail_proxy.features.replies.table import RepliesTable
from mail_proxy.operations.messages import detail_of
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.wire.replies import RepliesOut, RepliesRef, ReplyOut


@operation("replies.list", scope=Scope.TENANT_OR_ALL)
def list_replies(context: Context, request: RepliesRef) -> RepliesOut:
    """Return the answers of people to a message, oldest first, with their mails.

    They are recorded if the bounce mailbox has `detect_replies`.
    """
    context, row = detail_of(context, request.id)
    events = context.tables.events.of_message(context.connection, context.tenant_id, row["pk"])
    found = [event for event in events if event["event_type"] == "reply"]
    table = context.tables.of_feature(RepliesTable)
    raws = table.raws(context.connection, [event["seq"] for event in found])
    return RepliesOut(
        replies=[
            ReplyOut(
                reply_ts=int(event["event_at"]),
                sender=event["data"]["sender"],
                subject=event["data"]["subject"],
                excerpt=event["data"]["excerpt"],
                raw=raws.get(event["seq"]),
            )
            for event in found
        ]
    )


ALL = (list_replies,)
