"""Garbage collector of a process"""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import gc, time
import mail_proxy.server
from mail_proxy.kit.garbage import freeze_loaded_objects

def seconds():
    begun = time.thread_time()
    gc.collect()
    return time.thread_time() - begun

gc.collect()
before = min(seconds() for _ in range(3))
freeze_loaded_objects()
print(before / min(seconds() for _ in range(3)))
"""


def test_a_full_collection_leaves_out_what_the_start_has_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) > 10
