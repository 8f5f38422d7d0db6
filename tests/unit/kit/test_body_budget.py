"""Room for request bodies is shared among tenants and given in order"""

from __future__ import annotations

import asyncio

import pytest

from mail_proxy.kit.body_budget import BodyBudget

MOST = 1600
SHARE = MOST // 16


class Calls:
    """Calls that take room, by name; those that are admitted are in ``admitted``."""

    def __init__(self) -> None:
        self.budget = BodyBudget()
        self.admitted: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def begin(self, name: str, size: int) -> None:
        """Begin a call; its owner is the first letter of its name."""

        async def call() -> None:
            await self.budget.take(name[0], size, MOST)
            self.admitted.append(name)

        self.tasks[name] = asyncio.create_task(call())
        await self.turn()

    async def end(self, name: str, size: int) -> None:
        self.budget.give_back(name[0], size)
        await self.turn()

    async def turn(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)


async def test_an_owner_has_a_share_and_others_do_not_wait_for_it() -> None:
    calls = Calls()
    for name in ("a1", "a2", "a3", "b1"):
        await calls.begin(name, SHARE // 2)
    assert calls.admitted == ["a1", "a2", "b1"]
    await calls.end("a1", SHARE // 2)
    assert calls.admitted[3:] == ["a3"]


async def test_a_body_above_the_share_is_alone() -> None:
    calls = Calls()
    for name in ("a1", "a2", "b1"):
        await calls.begin(name, SHARE * 3)
    assert calls.admitted == ["a1", "b1"]
    await calls.end("a1", SHARE * 3)
    assert calls.admitted == ["a1", "b1", "a2"]


async def test_a_body_above_the_budget_comes_when_there_is_no_other_one() -> None:
    calls = Calls()
    await calls.begin("a1", 1)
    await calls.begin("b1", MOST + 1)
    await calls.begin("c1", 1)
    assert calls.admitted == ["a1"], "smaller ones would overtake the large one for ever"
    await calls.end("a1", 1)
    assert calls.admitted == ["a1", "b1"]
    await calls.end("b1", MOST + 1)
    assert calls.admitted == ["a1", "b1", "c1"]


async def test_one_that_stops_waiting_makes_way() -> None:
    calls = Calls()
    await calls.begin("a1", 1)
    await calls.begin("b1", MOST)
    await calls.begin("c1", 1)
    calls.tasks["b1"].cancel()
    await calls.turn()
    assert calls.admitted == ["a1", "c1"]
    await calls.end("a1", 1)
    await calls.end("c1", 1)
    assert calls.budget.held_bytes == 0


async def test_one_that_is_cancelled_when_it_is_admitted_takes_nothing() -> None:
    calls = Calls()
    await calls.begin("a1", SHARE)
    await calls.begin("a2", SHARE)
    calls.budget.give_back("a", SHARE)
    calls.tasks["a2"].cancel()
    with pytest.raises(asyncio.CancelledError):
        await calls.tasks["a2"]
    assert calls.budget.held_bytes == 0
