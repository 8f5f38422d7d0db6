"""States of certified messages, and their receipts, which go after their message."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.harness.rows import add_messages, add_tenant

from mail_proxy.domain.certified import PecStatus
from mail_proxy.features.pec.archive import ReceiptArchive
from mail_proxy.features.pec.cleanup import remove_receipts
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.pec import Receipt, with_news

NOW = 1_800_000_000.0
OCTETS = b"X-Ricevuta: accettazione\r\n\r\n"
DIGEST = hashlib.sha256(OCTETS).hexdigest()
RECEIPT = Receipt(DIGEST, NOW, len(OCTETS), {"event": "pec_acceptance"})


@pytest.fixture
async def messages(db: SqlDb, tables: Tables) -> list[str]:
    account = await add_tenant(db, tables, "acme")
    return await add_messages(db, tables, "acme", account, ["one", "two"])


async def test_receipts_are_removed_after_their_message(
    db: SqlDb, tables: Tables, messages: list[str], tmp_path: Path
) -> None:
    archive = ReceiptArchive(tmp_path / "receipts")
    archive.keep(DIGEST, OCTETS)
    for pk in messages:
        await db.write(tables.pec.begin, pk, "acme", f"<{pk}>", NOW, NOW + 60)
        assert await db.write(tables.pec.add_receipt, pk, "acme", RECEIPT)
        assert not await db.write(tables.pec.add_receipt, pk, "acme", RECEIPT)
    assert await remove_receipts(db, tables, archive) == 0
    await remove(db, tables, "one")
    assert await remove_receipts(db, tables, archive) == 1
    # The other message has the same receipt.
    assert archive.read(DIGEST) == OCTETS
    assert await db.read(tables.pec.receipts, "acme", messages[1]) == [RECEIPT]
    await remove(db, tables, "two")
    assert await remove_receipts(db, tables, archive) == 1
    assert archive.read(DIGEST) is None
    assert await db.read(tables.pec.among, messages) == {}


async def remove(db: SqlDb, tables: Tables, id_: str) -> None:
    removed = await db.write(tables.messages.remove_waiting_or_done, "acme", [id_])
    assert list(removed) == [id_]


async def test_an_attempt_after_the_acceptance_is_known(
    db: SqlDb, tables: Tables, messages: list[str]
) -> None:
    pec, (pk, other) = tables.pec, messages
    assert not await db.write(pec.begin, pk, "acme", "<m@x>", NOW, NOW + 60)
    assert not await db.write(pec.begin, pk, "acme", "<m@x>", NOW + 1, NOW + 61)
    assert await db.read(pec.due, NOW + 60, 10) == []
    assert await db.read(pec.due, NOW + 61, 10) == [pk]

    def accept(connection: Connection) -> None:
        pec.change(connection, pk, accepted_at=NOW + 2, due_at=None)

    await db.write(accept)
    assert await db.write(pec.begin, pk, "acme", "<m@x>", NOW + 3, NOW + 63)
    assert await db.read(pec.next_due_at) is None
    # The same Message-ID of another tenant is another message.
    assert await db.read(pec.with_message_id, "acme", "<m@x>") == pk
    assert await db.read(pec.with_message_id, "default", "<m@x>") is None
    await db.write(pec.begin, other, "acme", "<m@x>", NOW + 9, NOW + 69)
    assert await db.read(pec.with_message_id, "acme", "<m@x>") == other


def test_news_come_in_any_order() -> None:
    state = with_news({}, ["a@b.it"], PecStatus.DELIVERED, {"ts": 1})
    state = with_news(state, ["A@B.it", "c@d.it"], PecStatus.RELAYED, {"ts": 2})
    assert state == {
        "a@b.it": {"status": "delivered", "ts": 1},
        "c@d.it": {"status": "relayed", "ts": 2},
    }


def test_a_receipt_is_kept_whole_and_once(tmp_path: Path) -> None:
    archive = ReceiptArchive(tmp_path / "receipts")
    archive.keep(DIGEST, OCTETS)
    file = archive.path(DIGEST)
    file.write_bytes(OCTETS[:5])  # a disk that was full
    archive.keep(DIGEST, OCTETS)
    assert archive.read(DIGEST) == OCTETS
    assert [each.name for each in file.parent.iterdir()] == [f"{DIGEST}.eml"]
    with pytest.raises(AssertionError):
        archive.path("../../etc/passwd")
