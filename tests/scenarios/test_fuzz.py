"""A short run of each fuzzer; the long ones are ``python -m tests.fuzz.rest`` and ``.messages``"""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("fuzzer", "calls"), [("rest", 300), ("messages", 200)])
def test_a_short_run_finds_nothing(fuzzer: str, calls: int) -> None:
    command = [sys.executable, "-m", f"tests.fuzz.{fuzzer}", "--calls", str(calls)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
