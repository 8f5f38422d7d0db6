"""Signatures of report calls, by which an application recognises its proxy.

Standard Webhooks 1.0.0, symmetric scheme: HMAC-SHA256 over id, time and body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

from mail_proxy.domain.tenant import signing_key
from mail_proxy.kit.ids import uuid7
from mail_proxy.sql.messages.events import PendingEvent


def call_id(events: Sequence[PendingEvent]) -> str:
    """Return the ``webhook-id`` of a call, the same again only for the same events.

    Applications drop a call whose id they know. So the id differs if another event was added to
    those of the failed call, if the application refused an event before, and for each empty call.
    """
    if not events:
        return f"msg_{uuid7()}"
    digest = hashlib.sha256()
    for event in events:
        digest.update(f"{event.seq} {event.message_pk} {event.report_attempts}\n".encode())
    return f"msg_{digest.hexdigest()[:32]}"


def signature_headers(
    secrets: Sequence[str], call_id: str, now: float, body: bytes
) -> dict[bytes, bytes]:
    """Return the headers with one signature for each secret; none without secrets.

    ``now`` is in Unix seconds. Raises ValueError for a secret that is not a ``signing_key``.
    """
    if not secrets:
        return {}
    at, text = datetime.fromtimestamp(int(now), UTC), body.decode()
    signatures = [Webhook(signing_key(secret)).sign(call_id, at, text) for secret in secrets]
    return {
        b"webhook-id": call_id.encode(),
        b"webhook-timestamp": str(int(now)).encode(),
        b"webhook-signature": " ".join(signatures).encode(),
    }
