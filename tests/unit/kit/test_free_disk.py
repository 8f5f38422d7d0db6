"""New work stops before the disk is full"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mail_proxy.errors import DiskShort
from mail_proxy.kit.free_disk import FreeDisk, free_bytes

LEAST = 1000


class Disk:
    """A disk whose free space is set by the test, with a clock."""

    now = 0.0
    free = LEAST
    asked = 0

    def free_bytes(self, folder: Path) -> int:
        self.asked += 1
        return self.free

    def checked(self) -> FreeDisk:
        return FreeDisk(Path("/"), LEAST, self.free_bytes, lambda: self.now)


async def is_refused(check: FreeDisk) -> bool:
    try:
        await check.check()
    except DiskShort:
        return True
    return False


async def test_it_begins_and_ends_with_one_log_line_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk = Disk()
    check = disk.checked()
    seen = []
    with caplog.at_level(logging.INFO):
        for free in (LEAST, LEAST - 1, LEAST - 2, LEAST, LEAST + 200, LEAST + 1):
            disk.free = free
            disk.now += 1
            seen.append(await is_refused(check))
    # Back at the bound is not enough: it would begin again at once.
    assert seen == [False, True, True, True, False, False]
    begin, end = (record.getMessage() for record in caplog.records)
    assert "action=disk.short" in begin
    assert "action=disk.enough" in end


async def test_the_disk_is_asked_once_a_second_however_many_calls_come() -> None:
    disk = Disk()
    check = disk.checked()
    for _ in range(100):
        await check.check()
    disk.free = 0
    assert not await is_refused(check)
    disk.now += 1
    assert await is_refused(check)
    assert disk.asked == 2


async def test_a_disk_of_another_machine_and_a_bound_of_zero_never_refuse() -> None:
    for folder, least in ((None, LEAST), (Path("/"), 0)):
        assert not await is_refused(FreeDisk(folder, least, lambda _: 0))


def test_free_space_of_a_real_folder(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) > 0
