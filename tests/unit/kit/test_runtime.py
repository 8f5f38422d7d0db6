"""What a serving process sets up for itself."""

from __future__ import annotations

import subprocess
import sys

_SHOW = """
import resource, sys
from mail_proxy.kit.runtime import prepare_process
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, min(hard, {hard})))
prepare_process()
print(round(sys.getswitchinterval(), 6), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_as_many_files_as_the_system_allows() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", _SHOW.format(hard=512)], capture_output=True, text=True, check=True
    )
    assert shown.stdout.split() == ["0.0001", "512", "512"]
