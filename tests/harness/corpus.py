"""The corpus of mails that came back, each with its expected result beside it"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mail_proxy.inbound.bounces.parser import BounceParser
from mail_proxy.inbound.pec.receipt import PecReceiptParser

_ROOT = Path(__file__).parents[1] / "corpus"
BOUNCES = sorted((_ROOT / "bounces").glob("*.eml"))
RECEIPTS = sorted((_ROOT / "pec").glob("*.eml"))


def expected(mail: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(mail.with_suffix(".json").read_text("utf-8"))
    return found


def bounce(octets: bytes) -> dict[str, Any]:
    """What the parser finds, in the form of the expected results."""
    info = BounceParser().parse(octets)
    return {
        "kind": info.kind,
        "message_id": info.message_id,
        "tracking_id": info.tracking_id,
        "recipients": [
            {
                "address": recipient.address,
                "type": recipient.type,
                "code": recipient.code,
                "category": recipient.category,
            }
            for recipient in info.recipients
        ],
    }


def receipt(octets: bytes) -> dict[str, Any]:
    """What the parser finds, in the form of the expected results."""
    info = PecReceiptParser().parse(octets)
    names = ("event", "receipt_type", "message_id", "recipient", "identifier", "timestamp")
    return {name: getattr(info, name) for name in (*names, "provider", "error", "error_reason")}


def with_line_ends(octets: bytes, end: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").replace(b"\n", end)
