"""Replies: answers of people to messages, read from the bounce mailbox."""

from mail_proxy.features.feature import Feature, Route
from mail_proxy.features.replies import operations
from mail_proxy.features.replies.table import RepliesTable

REPLIES = Feature(
    name="replies",
    tables=(RepliesTable,),
    operations=operations.ALL,
    routes=(Route("GET", "/messages/{id}/replies", operations.list_replies),),
)
