"""What a process remembers of its database's troubles"""

from __future__ import annotations

import logging

import pytest
from tests.harness.log_lines import lines

from mail_proxy.errors import DatabaseDamaged, DatabaseFull, DatabaseUnavailable
from mail_proxy.sql.availability import Availability


class Steps:
    """A clock that moves when the test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def availability(steps: Steps) -> Availability:
    return Availability(steps)


def fail(availability: Availability, error: DatabaseUnavailable) -> None:
    with pytest.raises(DatabaseUnavailable), availability.watching_write():
        raise error


def write(availability: Availability) -> None:
    with availability.watching_write():
        pass


def test_a_write_proves_for_a_while_that_the_database_works(
    availability: Availability, steps: Steps
) -> None:
    assert availability.needs_proof
    write(availability)
    assert not availability.needs_proof
    steps.now += 6
    assert availability.needs_proof


def test_a_small_write_that_fits_does_not_end_a_full_disk(
    availability: Availability, steps: Steps
) -> None:
    fail(availability, DatabaseFull("full"))
    write(availability)
    assert availability.reason == "the disk of the database is full"
    assert not availability.needs_proof
    steps.now += 6
    assert availability.needs_proof
    write(availability)
    assert availability.reason is None
    availability.raise_trouble()


def test_damage_is_not_forgotten_for_whole_pages(availability: Availability, steps: Steps) -> None:
    fail(availability, DatabaseDamaged("damaged"))
    steps.now += 60
    write(availability)
    fail(availability, DatabaseUnavailable("lock"))
    write(availability)
    with pytest.raises(DatabaseDamaged):
        availability.raise_trouble()


def test_the_log_has_one_begin_and_one_end(
    availability: Availability, steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(100):
            fail(availability, DatabaseUnavailable("it is away"))
            steps.now += 1
        steps.now += 6
        write(availability)
        write(availability)
    begin, end = (record.getMessage() for record in caplog.records)
    assert 'action=database.unavailable reason="it is away"' in begin
    assert "action=database.available seconds=106" in end


def test_trouble_that_comes_and_goes_does_not_fill_the_log(
    availability: Availability, steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(10):
            fail(availability, DatabaseUnavailable("lock"))
            steps.now += 6
            write(availability)
    assert len(caplog.records) <= 2 * (10 * 6 / 30 + 1)


def test_a_trouble_that_lasts_is_logged_every_five_minutes(
    availability: Availability, steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mail_proxy")
    for _ in range(10):
        fail(availability, DatabaseUnavailable("gone"))
        steps.now += 60
    assert len(lines(caplog, "database.unavailable")) == 2
    write(availability)
    (available,) = lines(caplog, "database.available")
    assert available["seconds"] == 600
