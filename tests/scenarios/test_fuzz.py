"""A short run of each fuzzer; the long ones are ``python -m tests.fuzz.rest`` and so on"""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("fuzzer", "length"),
    [
        ("rest", "--calls=300"),
        ("messages", "--calls=200"),
        ("http", "--seconds=10"),
        ("smtp", "--seconds=5"),
        ("bounces", "--mails=1500"),
    ],
)
def test_a_short_run_finds_nothing(fuzzer: str, length: str) -> None:
    command = [sys.executable, "-m", f"tests.fuzz.{fuzzer}", length]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
