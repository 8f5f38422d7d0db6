"""A lane sends in order, keeps its connections busy, and asks for more in time."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.delivery.given import NOW, HandClock, account, message

from mail_proxy.delivery.lane import Lane
from mail_proxy.sql.messages.queue import ClaimedMessage


class Given:
    """A lane whose messages end when the test says so."""

    def __init__(self, connections: int = 2) -> None:
        self.clock = HandClock()
        self.begun: list[str] = []
        self.asked = 0
        self.gate = asyncio.Event()
        self.lane = Lane(account(connections=connections), self._carry, self._ask, self.clock)

    async def _carry(self, lane: Lane, given: ClaimedMessage) -> None:
        assert lane is self.lane
        self.begun.append(given.pk)
        await self.gate.wait()
        lane.done(given)

    def _ask(self) -> None:
        self.asked += 1

    async def all_sent(self) -> list[str]:
        self.gate.set()
        await self.lane.finish()
        return self.begun


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_urgent_messages_overtake_and_the_rest_keeps_its_order() -> None:
    given = Given(connections=1)
    for pk, priority, due_at in (("c", 2, NOW), ("b", 2, NOW - 1), ("a", 0, NOW)):
        given.lane.add(message(pk, priority=priority, due_at=due_at))
    assert await given.all_sent() == ["a", "b", "c"]


async def test_no_more_messages_are_under_way_than_the_account_has_connections() -> None:
    given = Given(connections=2)
    for number in range(5):
        given.lane.add(message(str(number), size=10))
    await turns()
    assert given.begun == ["0", "1"]
    assert (given.lane.load, given.lane.size, given.lane.room) == (5, 50, 17)
    assert len(await given.all_sent()) == 5
    assert (given.lane.load, given.lane.size) == (0, 0)


async def test_waiting_messages_can_be_taken_out_and_begun_ones_cannot() -> None:
    given = Given(connections=1)
    for number in range(4):
        given.lane.add(message(str(number), batch_code="b" if number % 2 else None))
    await turns()
    dropped = given.lane.drop_waiting(lambda m: m.batch_code == "b")
    assert [m.pk for m in dropped] == ["1", "3"]
    assert [m.pk for m in given.lane.drop_waiting()] == ["2"]
    assert await given.all_sent() == ["0"]


async def test_a_refused_connection_next_to_working_ones_costs_one_connection_for_a_minute() -> (
    None
):
    given = Given(connections=3)
    lane = given.lane
    waiting = [message(str(number)) for number in range(6)]
    for each in waiting[:3]:
        lane.add(each)
    await turns()
    assert not lane.crowded(waiting[0])  # no server has answered yet: the account is in trouble
    lane.answered()
    assert lane.crowded(waiting[3])
    assert lane.take() is None  # three workers are one too many
    given.clock.time += 60
    taken = lane.take()
    assert taken is waiting[3]
    lane.done(taken)
    await given.all_sent()


async def test_other_sessions_that_are_open_count_before_any_of_them_was_answered() -> None:
    given = Given(connections=2)
    for number in range(2):
        given.lane.add(message(str(number)))
    await turns()
    late = message("late")
    assert not given.lane.crowded(late)
    assert given.lane.crowded(late, others_work=True)
    given.lane.drop_waiting()
    await given.all_sent()


async def test_a_lane_asks_for_more_once_when_it_is_half_empty() -> None:
    given = Given(connections=1)
    for number in range(20):
        given.lane.add(message(f"{number:02}"))
    given.lane.supplied(may_have_more=True)
    for expected in (0,) * 9 + (1, 1, 1):
        taken = given.lane.take()
        assert taken is not None
        given.lane.done(taken)
        assert given.asked == expected
    given.lane.supplied(may_have_more=False)
    assert not given.lane.runs_low
    given.lane.cancel()
    await given.lane.finish()


@pytest.mark.parametrize(("seconds", "capacity"), [(0.1, 40), (1.0, 20)])
async def test_a_lane_that_asks_again_soon_doubles_its_capacity(
    seconds: float, capacity: int
) -> None:
    given = Given(connections=1)
    for _ in range(2):
        given.clock.time += seconds
        given.lane.supplied(may_have_more=True)
        given.lane.add(message())
        taken = given.lane.take()
        assert taken is not None
        given.lane.done(taken)
    assert given.asked == 2
    assert given.lane.capacity == capacity
    given.lane.cancel()
    await given.lane.finish()


async def test_messages_that_wait_long_halve_the_capacity_but_not_below_the_smallest() -> None:
    given = Given(connections=1)
    given.lane.capacity = 100
    given.lane.supplied(may_have_more=False)
    for number in range(4):
        given.lane.add(message(str(number)))
    given.clock.time += 1.1
    assert given.lane.take() is not None
    assert given.lane.capacity == 50
    for _ in range(3):
        assert given.lane.take() is not None
    assert given.lane.capacity == 20
    given.lane.cancel()
    await given.lane.finish()


async def test_a_probe_is_ended_once() -> None:
    lane = Given().lane
    assert not lane.end_probe()
    lane.note_probe(is_probe=True)
    assert lane.end_probe()
    assert not lane.end_probe()
