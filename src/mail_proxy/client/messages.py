"""Calls about messages: add, list, look at, retry, remove."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mail_proxy.client.calls import Given, Group, Mode, When, call
from mail_proxy.client.fields import Message, Priority, RawMessage
from mail_proxy.client.reading import field_of, model
from mail_proxy.wire.batches import AddMessagesOut
from mail_proxy.wire.messages import (
    CleanedOut,
    DeletedOut,
    EventsOut,
    MessageAnswer,
    MessagesOut,
    RetriedOut,
)
from mail_proxy.wire.pec import ReceiptsOut
from mail_proxy.wire.replies import RepliesOut


class Messages(Group[Mode]):
    """Calls about messages."""

    @call("POST", "/commands/add-messages", model(AddMessagesOut))
    def add(
        self,
        messages: Iterable[Message | RawMessage],
        *,
        default_priority: Priority | None = None,
        tenant_id: str | None = None,
    ) -> Given:
        """Queue a batch of messages. They are on disk when the answer arrives.

        Good messages are queued and bad ones are in ``rejected``; NothingUsable is raised if all
        are bad. A repeated call queues nothing twice: its messages are in ``duplicates``.
        """
        body: dict[str, object] = {"messages": list(messages)}
        if default_priority is not None:
            body["default_priority"] = default_priority
        return Given(body=body, tenant_id=tenant_id)

    @call("GET", "/messages", model(MessagesOut))
    def list(
        self,
        *,
        active_only: bool = False,
        status: Sequence[str] | str | None = None,
        account_id: str | None = None,
        batch_code: str | None = None,
        id: str | None = None,  # noqa: A002 - its name on the wire
        waiting: str | None = None,
        q: str | None = None,
        recipient_status: str | None = None,
        code: int | None = None,
        from_ts: When | None = None,
        to_ts: When | None = None,
        order: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        tenant_id: str | None = None,
    ) -> Given:
        """Return a page of messages. All filters that are given have to hold.

        ``iterate`` goes through all pages.
        """
        query = {
            "active_only": active_only or None,
            "status": [status] if isinstance(status, str) else status,
            "account_id": account_id,
            "batch_code": batch_code,
            "id": id,
            "waiting": waiting,
            "q": q,
            "recipient_status": recipient_status,
            "code": code,
            "from_ts": from_ts,
            "to_ts": to_ts,
            "order": order,
            "limit": limit,
            "cursor": cursor,
        }
        return Given(query=query, tenant_id=tenant_id)

    iterate = list.pages(lambda page: page.messages)  # noqa: A003 - the call above

    @call("GET", "/messages/{id}", field_of(MessageAnswer, lambda answer: answer.message))
    def get(self, id: str, *, tenant_id: str | None = None) -> Given:  # noqa: A002
        """Return one message as it is now."""
        return Given(path={"id": id}, tenant_id=tenant_id)

    @call("GET", "/messages/{id}/events", field_of(EventsOut, lambda answer: answer.events))
    def events(self, id: str, *, tenant_id: str | None = None) -> Given:  # noqa: A002
        """Return the events of a message, oldest first."""
        return Given(path={"id": id}, tenant_id=tenant_id)

    @call("GET", "/messages/{id}/receipts", field_of(ReceiptsOut, lambda answer: answer.receipts))
    def receipts(self, id: str, *, tenant_id: str | None = None) -> Given:  # noqa: A002
        """Return the receipts of a certified message (PEC), the oldest first."""
        return Given(path={"id": id}, tenant_id=tenant_id)

    @call("GET", "/messages/{id}/receipts/{sha256}", bytes)
    def receipt(self, id: str, sha256: str, *, tenant_id: str | None = None) -> Given:  # noqa: A002
        """Return one receipt as it was read from the mailbox, byte for byte."""
        return Given(path={"id": id, "sha256": sha256}, tenant_id=tenant_id)

    @call("GET", "/messages/{id}/replies", field_of(RepliesOut, lambda answer: answer.replies))
    def replies(self, id: str, *, tenant_id: str | None = None) -> Given:  # noqa: A002
        """Return the answers of people to a message, with the whole mails in base64."""
        return Given(path={"id": id}, tenant_id=tenant_id)

    @call("POST", "/commands/delete-messages", model(DeletedOut), repeatable=False)
    def delete(self, ids: Iterable[str], *, tenant_id: str | None = None) -> Given:
        """Remove messages; those that are being sent stay and are in ``in_progress``."""
        return Given(body={"ids": [*ids]}, tenant_id=tenant_id)

    @call("POST", "/commands/retry-messages", model(RetriedOut), repeatable=False)
    def retry(
        self,
        ids: Iterable[str] | None = None,
        *,
        account_id: str | None = None,
        batch_code: str | None = None,
        from_ts: When | None = None,
        to_ts: When | None = None,
        error_like: str | None = None,
        now: bool = False,
        dry_run: bool = False,
        tenant_id: str | None = None,
    ) -> Given:
        """Put messages in ``error`` back into the queue, with a retry count of 0.

        All filters that are given have to hold, and one is required. With ``now``, deferred
        messages become due as well.
        """
        wanted = {
            "ids": None if ids is None else [*ids],
            "account_id": account_id,
            "batch_code": batch_code,
            "from_ts": from_ts,
            "to_ts": to_ts,
            "error_like": error_like,
        }
        body = {k: v for k, v in wanted.items() if v is not None}
        return Given(body={**body, "now": now, "dry_run": dry_run}, tenant_id=tenant_id)

    @call("POST", "/commands/cleanup-messages", model(CleanedOut), repeatable=False)
    def cleanup(
        self, older_than_seconds: float | None = None, *, tenant_id: str | None = None
    ) -> Given:
        """Remove finished messages whose every event was reported long enough ago.

        Without ``older_than_seconds``, the retention of the service decides.
        """
        return Given(body={"older_than_seconds": older_than_seconds}, tenant_id=tenant_id)
