"""ChunkedWork are as large as their time allows."""

from __future__ import annotations

from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.chunks import MOST_ROWS, ChunkedWork


class Rows:
    """A number of rows to work on, each of which takes its time by a clock of its own."""

    def __init__(self, count: int, seconds_each: float) -> None:
        self.left = count
        self.seconds_each = seconds_each
        self.slices: list[int] = []
        self.now = 0.0

    def work(self, connection: Connection, at_most: int) -> int:
        done = min(at_most, self.left)
        self.left -= done
        self.slices.append(done)
        self.now += done * self.seconds_each
        return done

    def slicing(self, db: SqlDb, **options: int) -> ChunkedWork:
        return ChunkedWork(db, share=1, seconds=lambda: self.now, **options)


async def test_all_is_done_in_slices_that_grow_to_their_limit(db: SqlDb) -> None:
    rows = Rows(10_000, 0.0)
    assert await rows.slicing(db).all(rows.work) == 10_000
    assert rows.left == 0
    assert max(rows.slices) == MOST_ROWS
    assert rows.slices[0] < 500
    few = Rows(20, 0.0)
    assert await few.slicing(db, most=7).all(few.work) == 20
    assert few.slices == [7, 7, 6]


async def test_the_slower_a_row_the_smaller_the_slice(db: SqlDb) -> None:
    for seconds_each, expected in ((0.0001, 250), (0.00005, 500), (0.1, 50)):
        rows = Rows(5000, seconds_each)
        assert await rows.slicing(db).all(rows.work) == 5000
        assert abs(rows.slices[5] - expected) <= 2


async def test_a_slice_that_is_not_full_is_the_last(db: SqlDb) -> None:
    rows = Rows(0, 0.0)
    assert await rows.slicing(db).all(rows.work) == 0
    assert rows.slices == [0]
