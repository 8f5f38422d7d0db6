"""The benchmarks' parts for tests: the proxy as a process, PostgreSQL, a sink, a faulty network."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, Options
from benchmarks.proxy import Launch

_COMMAND = [sys.executable, "-m", "mail_proxy"]


@contextlib.contextmanager
def small_bench(**options: Any) -> Iterator[Bench]:
    """All that it has started ends with the block."""
    with tempfile.TemporaryDirectory(prefix="mail-proxy-test-") as folder:
        directory = Path(folder)
        directory.chmod(0o755)  # PostgreSQL refuses root: as nobody it has its files here
        chosen = replace(Options(launch=Launch(_COMMAND), stall_seconds=40), **options)
        bench = Bench(chosen, directory)
        try:
            yield bench
        finally:
            bench.close()
