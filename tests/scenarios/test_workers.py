"""What becomes of delivering processes when the one that started them is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.harness.command_line import CommandLine, wait_for
from tests.harness.running import delivering


def test_none_is_left_behind_by_a_parent_that_is_killed(mail_proxy: CommandLine) -> None:
    running = mail_proxy.started("shop", "--workers", "2")
    workers = delivering(running.pid)
    assert len(workers) == 2
    os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: None if any(map(is_working, workers)) else True)


def is_working(pid: int) -> bool:
    try:
        return b"mail_proxy.workers" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False
