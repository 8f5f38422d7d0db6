"""The pid file tells who runs, and is not fooled."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from mail_proxy.cli.process import PidFile, Running
from mail_proxy.errors import Conflict

SELF = Running(
    pid=os.getpid(),
    url="http://127.0.0.1:8000",
    host="127.0.0.1",
    port=8000,
    database="mail.db",
    shutdown_timeout=30.0,
    options={"port": 8000},
)


@pytest.fixture
def pid_file(tmp_path: Path) -> PidFile:
    return PidFile(tmp_path / "pid")


def test_nothing_runs_before_the_first_start(pid_file: PidFile) -> None:
    assert pid_file.find_running() is None


def test_the_process_that_holds_the_file_is_found(pid_file: PidFile) -> None:
    with pid_file.hold() as held:
        held.write(SELF)
        assert pid_file.find_running() == SELF
    assert pid_file.find_running() is None
    assert not pid_file.path.exists()


def test_a_file_left_behind_fools_nobody_even_with_the_number_of_a_living_process(
    pid_file: PidFile,
) -> None:
    pid_file.path.write_text(json.dumps(dataclasses.asdict(SELF)))
    assert pid_file.find_running() is None
    with pid_file.hold() as held:
        assert pid_file.path.read_text() == ""
        held.write(SELF)
        assert pid_file.find_running() == SELF


def test_only_one_can_hold_the_file(pid_file: PidFile) -> None:
    with pid_file.hold() as held:
        held.write(SELF)
        with pytest.raises(Conflict), pid_file.hold():
            pass
        assert pid_file.find_running() == SELF


def test_what_is_written_last_is_read(pid_file: PidFile) -> None:
    longer = dataclasses.replace(SELF, database="a much longer name of a database")
    with pid_file.hold() as held:
        held.write(longer)
        held.write(SELF)
        assert pid_file.find_running() == SELF


def test_the_file_is_private(pid_file: PidFile) -> None:
    with pid_file.hold():
        assert pid_file.path.stat().st_mode & 0o777 == 0o600


def test_the_file_is_removed_when_the_work_fails(pid_file: PidFile) -> None:
    with pytest.raises(ZeroDivisionError), pid_file.hold():
        raise ZeroDivisionError
    assert not pid_file.path.exists()


@pytest.mark.parametrize("content", [b"garbage", b"{}", b"[1]", b'{"pid": 1', b"\xff\xfe\0", b"12"])
def test_a_damaged_file_of_a_living_process_is_named(pid_file: PidFile, content: bytes) -> None:
    pid_file.path.write_bytes(content)
    assert pid_file.find_running() is None
    with pid_file.hold():
        pid_file.path.write_bytes(content)
        with pytest.raises(Conflict, match="pid is locked by a process and damaged"):
            pid_file.find_running()
