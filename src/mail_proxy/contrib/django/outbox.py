"""Transactional outbox of Django: mails are stored, then sent after the commit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from django.db import connections, router, transaction

from mail_proxy.client import MailProxyClient, Retries
from mail_proxy.contrib.django import conf
from mail_proxy.contrib.django.models import OutboxMessage
from mail_proxy.contrib.queueing import queue_messages
from mail_proxy.errors import MailProxyError

_log = logging.getLogger(__name__)
_MOST_ROWS = 100
#: A request of the project does not wait for a service that is away.
_AFTER_COMMIT = Retries(attempts=1)


def store(messages: Sequence[dict[str, Any]]) -> None:
    """Store messages in the current transaction; they are sent after its commit."""
    using = router.db_for_write(OutboxMessage)
    rows = [OutboxMessage(message_id=m["id"], payload=m) for m in messages]
    OutboxMessage.objects.using(using).bulk_create(rows, batch_size=_MOST_ROWS)
    ids = [row.message_id for row in rows]
    transaction.on_commit(lambda: _send_now(ids), using=using, robust=True)


def send_outbox(client: MailProxyClient, ids: Sequence[str] | None = None) -> int:
    """Hand the stored messages, all or those of ``ids``, to the proxy.

    Returns how many it took. Rows are locked meanwhile, so several processes may do this at the
    same time. Refused messages stay in the table with their reason. Raises MailProxyError if the
    service cannot be reached.
    """
    using = router.db_for_write(OutboxMessage)
    taken = last = 0
    while True:
        with transaction.atomic(using=using):
            rows = list(_waiting(using, last, ids)[:_MOST_ROWS])
            if not rows:
                return taken
            refused = {r.id: r.reason for r in queue_messages(client, [r.payload for r in rows])}
            for row in rows:
                if row.message_id in refused:
                    row.refused = refused[row.message_id]
                    row.save(update_fields=["refused"])
                    _log.error("Message %r is refused: %s", row.message_id, row.refused)
                else:
                    row.delete()
        taken += len(rows) - len(refused)
        last = rows[-1].pk


def _waiting(using: str, after: int, ids: Sequence[str] | None) -> Any:
    found = OutboxMessage.objects.using(using).filter(refused="", pk__gt=after)
    if ids is not None:
        found = found.filter(message_id__in=ids)
    features = connections[using].features
    if features.has_select_for_update:
        return found.select_for_update(skip_locked=features.has_select_for_update_skip_locked)
    return found


def _send_now(ids: Sequence[str]) -> None:
    """Send the messages, or leave them to ``send_outbox`` without the service."""
    try:
        with conf.new_client(_AFTER_COMMIT) as client:
            send_outbox(client, ids)
    except MailProxyError as error:
        _log.warning("Messages wait in the outbox: %s", error)
