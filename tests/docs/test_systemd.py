"""The systemd unit is valid and closed"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mail_proxy.config import ProxyConfig

UNIT = Path(__file__).parents[2] / "deploy/systemd/mail-proxy.service"


def test_a_stop_has_more_time_than_the_service_takes() -> None:
    found = re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert found
    assert int(found[1]) > ProxyConfig().timing.shutdown_timeout + 10


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_unit_leaves_little_open() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
