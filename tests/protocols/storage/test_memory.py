"""Memory that an upload takes does not grow with its file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_MOST_BYTES = 60_000_000
_SCRIPT = """
import asyncio, json, re, sys
from pathlib import Path
from mail_proxy.attachments.content import Content
from mail_proxy.storage import StorageManager

async def use(place, small, large):
    manager = StorageManager()
    manager.register("docs", *place)
    for name, path in (("small", small), ("large", large)):
        content = Content(path.stat().st_size, "", path=path)
        written = await manager.node("docs:" + name).write_pieces(content.pieces(262_144))
        assert written == content.size
        # The resource usage of a process begins with that of its parent.
        peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
        print(int(peak[1]) * 1024)
    manager.close()

asyncio.run(use(json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", ["local", "s3", "gcs", "azure"], indirect=True)
def test_an_upload_of_200_mb_takes_less_than_60_mb(
    place: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"x" * 1000)
    with large.open("wb") as file:
        for number in range(200):
            file.write(bytes([number]) * 1_000_000)
    command = [sys.executable, "-c", _SCRIPT, json.dumps(place), str(small), str(large)]
    done = subprocess.run(command, capture_output=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr.decode()
    before, after = map(int, done.stdout.split())
    print(f"{place[0]}: {(after - before) / 1e6:.1f} MB above {before / 1e6:.0f} MB")
    assert after - before < _MOST_BYTES
