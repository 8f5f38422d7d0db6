"""Operations on the receipts of a message: list, download."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mail_proxy.errors import NotFound
from mail_proxy.features.pec.archive import ReceiptArchive
from mail_proxy.operations.messages import detail_of
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.sql.tables.pec import Receipt
from mail_proxy.wire.messages import MessageRef
from mail_proxy.wire.pec import ReceiptOut, ReceiptRef, ReceiptsOut

#: Of all receipts of a message, in one answer.
_MOST_OCTETS = 2_000_000


@dataclass(frozen=True)
class ReceiptFile:
    """A receipt to download: its name for users, and its file."""

    name: str
    file: Path


async def _with_octets(parts: Parts, found: Sequence[Receipt]) -> ReceiptsOut:
    archive = ReceiptArchive.of(parts.config)
    is_small = sum(receipt.size for receipt in found) <= _MOST_OCTETS
    shown = [
        _shown(each, await asyncio.to_thread(_raw, archive, each) if is_small else None)
        for each in found
    ]
    return ReceiptsOut(receipts=shown)


@operation("receipts.list", scope=Scope.TENANT_OR_ALL, then=_with_octets)
def list_receipts(context: Context, request: MessageRef) -> Sequence[Receipt]:
    """Return the receipts of a PEC message, the oldest first.

    Each is as it was read from the mailbox, byte for byte. Raises SeveralTenants for an
    administrator's call that names no tenant, if several have the message.
    """
    return _receipts(context, request.id)


async def _file(parts: Parts, receipt: Receipt) -> ReceiptFile:
    file = ReceiptArchive.of(parts.config).path(receipt.sha256)
    if not await asyncio.to_thread(file.is_file):
        raise NotFound("the file of the receipt is not in receipts_dir of this host")
    return ReceiptFile(f"{receipt.data['receipt_type']}-{receipt.sha256[:12]}.eml", file)


@operation("receipts.get", scope=Scope.TENANT_OR_ALL, then=_file)
def get(context: Context, request: ReceiptRef) -> Receipt:
    """Return one receipt of a PEC message, byte for byte."""
    for receipt in _receipts(context, request.id):
        if receipt.sha256 == request.sha256:
            return receipt
    raise NotFound("no such receipt")


def _receipts(context: Context, message_id: str) -> list[Receipt]:
    context, row = detail_of(context, message_id)
    return context.tables.pec.receipts(context.connection, context.tenant_id, row["pk"])


def _raw(archive: ReceiptArchive, receipt: Receipt) -> str | None:
    octets = archive.read(receipt.sha256)
    return None if octets is None else base64.b64encode(octets).decode()


def _shown(receipt: Receipt, raw: str | None) -> ReceiptOut:
    data = {name: receipt.data.get(name) for name in ReceiptOut.model_fields}
    own = {
        "receipt_ts": int(receipt.at),
        "pec_event": receipt.data["event"],
        "sha256": receipt.sha256,
        "size": receipt.size,
        "raw": raw,
    }
    return ReceiptOut(**{**data, **own})


ALL = (list_receipts, get)
