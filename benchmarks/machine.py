"""Where and with what the figures came about."""

import importlib.metadata
import os
import platform
import shlex
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.harness.sinks import REPOSITORY


def describe(data_directory: Path) -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "load at the start": f"{os.getloadavg()[0]:.1f}",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "file system": _file_system(data_directory),
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "Postfix": _output("postconf", "-d", "-h", "mail_version"),
        "genro-mail-proxy": f"{_version('genro-mail-proxy')}, commit {_commit()}",
        **{name: _version(name) for name in ("uvicorn", "uvloop", "sqlalchemy", "psycopg")},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(directory: Path) -> str:
    """Of the data: on tmpfs nothing is synced and the figures would flatter."""
    kind = _output("findmnt", "-n", "-o", "FSTYPE", "-T", str(directory))
    return f"{kind} (NOT DURABLE)" if kind == "tmpfs" else kind


def _commit() -> str:
    commit = _output("git", "-C", str(REPOSITORY), "describe", "--always", "--dirty")
    return commit or "unknown"


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _output(*argv: str) -> str:
    program = shutil.which(argv[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        return "unknown"
    run = subprocess.run([program, *argv[1:]], capture_output=True, text=True)
    return run.stdout.strip()
