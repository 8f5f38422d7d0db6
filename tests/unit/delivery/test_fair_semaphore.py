"""Free slots go round tenants and accounts, and hanging transactions do not hold them."""

from __future__ import annotations

import asyncio

from mail_proxy.delivery.fair_semaphore import FairSemaphore


class Given:
    """A semaphore and the order in which waiters got its slots."""

    def __init__(self, slots: int) -> None:
        self.semaphore = FairSemaphore(slots)
        self.served: list[str] = []
        self.tasks: dict[str, asyncio.Task[int]] = {}

    async def wait(self, *names: str) -> None:
        """Queue waiters; a name is tenant, account and a number, as ``ta1``."""
        for name in names:
            self.tasks[name] = asyncio.create_task(self._acquire(name))
            await asyncio.sleep(0)

    async def _acquire(self, name: str) -> int:
        slot = await self.semaphore.acquire(name[0], name[:2])
        self.served.append(name)
        return slot

    async def serve_all(self, slot: int) -> list[str]:
        """Give one slot from waiter to waiter."""
        for done in range(len(self.tasks)):
            self.semaphore.release(slot)
            while len(self.served) <= done:
                await asyncio.sleep(0)
            slot = await self.tasks[self.served[done]]
        return self.served


async def test_tenants_take_turns_and_so_do_accounts_of_one_tenant() -> None:
    given = Given(1)
    slot = await given.semaphore.acquire("x", "xx")
    await given.wait("ta1", "ta2", "ta3", "tb1", "ua1", "ua2")
    assert await given.serve_all(slot) == ["ta1", "ua1", "tb1", "ua2", "ta2", "ta3"]


async def test_a_waiter_that_gives_up_does_not_keep_the_slot_that_it_was_given() -> None:
    given = Given(1)
    slot = await given.semaphore.acquire("x", "xx")
    await given.wait("ta1", "ua1", "va1")
    given.tasks["ta1"].cancel()  # while it waits
    given.semaphore.release(slot)  # to ua1, which is cancelled before it runs
    given.tasks["ua1"].cancel()
    await asyncio.wait(given.tasks.values())
    assert given.served == ["va1"]


async def test_a_slot_that_is_held_for_over_a_second_goes_to_a_waiter_too() -> None:
    semaphore = FairSemaphore(1)
    loop = asyncio.get_running_loop()
    began = loop.time()
    hanging = await semaphore.acquire("t", "a")
    second = await semaphore.acquire("u", "b")
    assert loop.time() - began >= 0.9
    semaphore.release(hanging)  # it no longer counts, so nothing becomes free
    waiting = asyncio.create_task(semaphore.acquire("v", "c"))
    await asyncio.sleep(0)
    assert not waiting.done()
    semaphore.release(second)
    await waiting
