"""UUID version 7"""

from __future__ import annotations

import os
import time
import uuid

from mail_proxy.kit.ids import MOST_AHEAD_SECONDS, Uuid7Maker, first_uuid7, uuid7
from mail_proxy.testing.clock import FakeClock


def seconds_of(made: str) -> float:
    return (uuid.UUID(made).int >> 80) / 1000


def test_ids_are_in_the_form_of_rfc_9562_and_carry_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = Uuid7Maker()()
    after = time.time_ns() // 1_000_000
    parsed = uuid.UUID(made)
    assert str(parsed) == made
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert before <= parsed.int >> 80 <= after


def test_ids_sort_by_creation_however_fast_they_are_made() -> None:
    made = [uuid7() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_go_on_growing_when_the_clock_steps_back_a_little() -> None:
    clock = FakeClock()
    make = Uuid7Maker(clock.now)
    made = [make()]
    for _ in range(3):
        clock.advance(-MOST_AHEAD_SECONDS / 4)
        made.append(make())
    assert made == sorted(made)


def test_ids_are_never_far_ahead_of_their_clock() -> None:
    clock = FakeClock()
    make = Uuid7Maker(clock.now)
    for step in (0.0, -1.0, -MOST_AHEAD_SECONDS - 1, -86_400.0, 86_400.0, -10.0):
        clock.advance(step)
        assert -0.001 <= seconds_of(make()) - clock.now() <= MOST_AHEAD_SECONDS + 1


def test_the_first_id_of_a_time_is_between_its_neighbours() -> None:
    clock = FakeClock()
    make = Uuid7Maker(clock.now)
    earlier = make()
    clock.advance(1.0)
    later = make()
    assert earlier < first_uuid7(clock.now() - 0.5) < later
    assert first_uuid7(clock.now()) <= later
    assert uuid.UUID(first_uuid7(0)).version == 7
    assert first_uuid7(253_402_300_799) > later


def test_the_random_part_differs_between_ids_of_one_moment() -> None:
    tails = {uuid7()[-12:] for _ in range(100)}
    assert len(tails) == 100


def test_a_forked_process_makes_other_ids() -> None:
    clock = FakeClock()
    make = Uuid7Maker(clock.now)
    make()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, make().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100).decode() != make()
