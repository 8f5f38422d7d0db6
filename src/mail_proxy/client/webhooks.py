"""Verification of report calls, for the application that takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from mail_proxy.client.errors import BadSignature

_KINDS = ("sent", "error", "deferred", "bounce", "complaint", "reply", "unsubscribe")


class Report(BaseModel):
    """Delivery report about one event of a message; times are Unix seconds.

    ``event`` says which event it is; the other fields are those of that event. Fields of a newer
    proxy are kept in ``model_extra``.
    """

    model_config = ConfigDict(extra="allow")

    tenant_id: str
    id: str
    pk: str
    account_id: str
    sent_ts: int | None = None
    error_ts: int | None = None
    error: str | None = None
    code: int | None = None
    deferred_ts: int | None = None
    retry_ts: int | None = None
    deferred_reason: str | None = None
    recipients: list[dict[str, Any]] | None = None
    bounce_ts: int | None = None
    bounce_type: str | None = None
    bounce_code: str | None = None
    bounce_reason: str | None = None
    bounce_recipient: str | None = None
    pec_event: str | None = None
    pec_ts: int | None = None
    pec_details: dict[str, Any] | None = None
    recipient: str | None = None
    complaint_ts: int | None = None
    complaint_type: str | None = None
    reply_ts: int | None = None
    sender: str | None = None
    subject: str | None = None
    excerpt: str | None = None
    unsubscribe_ts: int | None = None

    @property
    def event(self) -> str:
        """Kind of the event: "sent", "error", "deferred", "bounce", "pec_delivery", ..."""
        if self.pec_event is not None:
            return self.pec_event
        given = self.model_dump(exclude_none=True).keys()
        return next((kind for kind in _KINDS if f"{kind}_ts" in given), "unknown")


class _ReportCall(BaseModel):
    delivery_report: list[Report]


def verify_reports(body: bytes, headers: Mapping[str, str], secret: str) -> list[Report]:
    """Return the reports of a call that was signed with the tenant's secret.

    ``body`` must be the bytes as they came. Names of ``headers`` may be in any case. ``secret`` is
    the tenant's ``signing_secret``. Raises BadSignature if the signature is missing or wrong, or
    its time is more than five minutes from now.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        Webhook(secret).verify(body, lower)
        return _ReportCall.model_validate_json(body).delivery_report
    except (WebhookVerificationError, ValidationError, ValueError) as error:
        raise BadSignature(f"not a report call of the proxy: {error}") from None
