"""Remove the receipts of messages that were removed."""

from __future__ import annotations

import asyncio

from mail_proxy.features.pec.archive import ReceiptArchive
from mail_proxy.sql import SqlDb
from mail_proxy.sql.messages import certified
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.log import Action, log

_AT_ONCE = 200


async def remove_receipts(db: SqlDb, tables: Tables, archive: ReceiptArchive) -> int:
    """Remove receipts of messages that are gone; return the number of receipts.

    The row goes first: a file without a row is written again with the same name if its receipt
    comes again, and a row without a file would be a lost proof.
    """
    removed = 0
    while True:
        found = await db.read(certified.removed_with_receipts, _AT_ONCE)
        for pk, sha256 in found:
            if not await db.write(tables.pec.remove_receipt, pk, sha256):
                await asyncio.to_thread(archive.remove, sha256)
        removed += len(found)
        if len(found) < _AT_ONCE:
            break
    while pks := await db.read(certified.removed, _AT_ONCE):
        await db.write(tables.pec.forget, pks)
    if removed:
        log(Action.PEC_RECEIPTS_REMOVED, rows=removed)
    return removed
