"""JSON shapes of the receipts of certified mail (PEC)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from mail_proxy.wire.fields import Answer, Identifier, Matching, Request

Sha256 = Annotated[str, Matching(r"[0-9a-f]{64}", "must be 64 hexadecimal digits")]
_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_RECIPIENT: dict[str, Any] = {
    "address": "mario@pec.example.org",
    "status": "delivered",
    "ts": 1_790_000_060,
    "error": "no-dest",
    "error_reason": "5.1.1 - indirizzo non valido",
}
PEC_STATE: dict[str, Any] = {
    "accepted_ts": 1_790_000_030,
    "timed_out_ts": 1_790_001_800,
    "recipients": [_RECIPIENT],
}
_RECEIPT: dict[str, Any] = {
    "receipt_ts": 1_790_000_060,
    "pec_event": "pec_delivery",
    "receipt_type": "avvenuta-consegna",
    "recipient": "mario@pec.example.org",
    "receipt_message_id": "<opec296.20260112101231@pec.example.org>",
    "identifier": "opec296.20260112101231.28002.502.1.6@pec.example.org",
    "timestamp": "2026-01-12T10:12:31+01:00",
    "provider": "Gestore PEC Example S.p.A.",
    "error": "no-dest",
    "error_reason": "5.1.1 - indirizzo non valido",
    "signature": "valid",
    "sha256": _DIGEST,
    "size": 48_213,
    "raw": "UmV0dXJuLVBhdGg6IDxwb3N0YS1jZXJ0aWZpY2F0YUBwZWMuZXhhbXBsZS5vcmc+",
}


class PecRecipientOut(BaseModel):
    """The latest news about one recipient of a PEC message."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RECIPIENT]})

    address: str = Field(description="The recipient.")
    status: str = Field(
        description="accepted, relayed (by the recipient's provider), warning (not delivered for "
        "12 hours), error or delivered."
    )
    ts: int = Field(description="When that became known, Unix seconds.")
    error: str | None = Field(None, description="Code of the error, such as no-dest.")
    error_reason: str | None = Field(None, description="The provider's words.")


class PecOut(BaseModel):
    """State of a PEC message, as its receipts say. Times are Unix seconds."""

    model_config = ConfigDict(json_schema_extra={"examples": [PEC_STATE]})

    accepted_ts: int | None = Field(None, description="When its acceptance became known.")
    timed_out_ts: int | None = Field(
        None, description="When its acceptance was missed; null if it was not."
    )
    recipients: list[PecRecipientOut] = Field(
        description="Recipients that a receipt is about; the others have none yet."
    )


class ReceiptRef(Request):
    """One receipt of a message."""

    id: Identifier = Field(description="The client's identifier of the message.")
    sha256: Sha256 = Field(description="SHA-256 of the receipt.")


class ReceiptOut(BaseModel):
    """A receipt, as it was archived."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RECEIPT]})

    receipt_ts: int = Field(description="When the proxy read it, Unix seconds.")
    pec_event: str = Field(description="Event of the message, such as pec_delivery.")
    receipt_type: str = Field(description="X-Ricevuta, such as avvenuta-consegna.")
    recipient: str | None = Field(description="Recipient; null if it is about several.")
    receipt_message_id: str | None = Field(description="Message-ID of the receipt.")
    identifier: str | None = Field(description="The provider's identifier of the message.")
    timestamp: str | None = Field(description="Time in the receipt, ISO 8601 with its zone.")
    provider: str | None = Field(description="Provider that issued the receipt.")
    error: str | None = Field(description="Code of the error, such as no-dest.")
    error_reason: str | None = Field(description="The provider's words.")
    signature: str = Field(
        description="S/MIME signature: valid, invalid, or unchecked (without pec_ca_file)."
    )
    sha256: str = Field(description="SHA-256 of the receipt's octets.")
    size: int = Field(description="Octets.")
    raw: str | None = Field(
        description="The receipt in base64. Null if the receipts of the message have more than "
        "2 MB together; then each can be downloaded by its `sha256`."
    )


class ReceiptsOut(Answer):
    """The receipts of a message."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ok": True, "receipts": [_RECEIPT]}]}
    )

    receipts: list[ReceiptOut] = Field(description="The oldest first.")
