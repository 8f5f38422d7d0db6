"""A bounce mailbox on Dovecot: kills, faults, modes. Full sizes: benchmarks.bounce_mailbox."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal

import pytest
from tests.harness import mailbox_stories
from tests.harness.errors import NotAvailable
from tests.harness.rig import Rig, small_rig

pytestmark = pytest.mark.slow


@pytest.fixture(params=["sqlite", "postgresql"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    database: Literal["sqlite", "postgresql"] = request.param
    try:
        with small_rig(database=database) as rig:
            yield rig
    except NotAvailable as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


def test_each_bounce_is_handled_once_although_the_proxy_is_killed(rig: Rig) -> None:
    toll = mailbox_stories.killed(rig, bounces=60, kills=2)
    assert (toll.missed, toll.twice) == (0, 0)


@pytest.mark.parametrize("rig", ["sqlite"], indirect=True)
def test_cut_connections_a_restart_and_a_new_folder_lose_and_repeat_nothing(rig: Rig) -> None:
    toll = mailbox_stories.faults(rig, bounces=80)
    assert (toll.missed, toll.twice) == (0, 0)
    assert toll.faults >= 3


@pytest.mark.parametrize("rig", ["sqlite"], indirect=True)
def test_bounces_are_deleted_marked_or_moved_and_other_mail_stays(rig: Rig) -> None:
    assert mailbox_stories.after_processing(rig, bounces=6) == {
        "delete": ({b"\\Seen": 1}, {}),
        "seen": ({b"\\Seen": 7}, {}),
        "move:Done": ({b"\\Seen": 1}, {b"": 6}),
    }
