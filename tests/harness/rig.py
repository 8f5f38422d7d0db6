"""Processes for scenarios: proxies, SMTP sinks and a PostgreSQL server, ended together."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal

from tests.harness import messages
from tests.harness.postgres import Postgres
from tests.harness.processes import Children
from tests.harness.proxy import Launch, ProxyProcess
from tests.harness.sinks import RecordingSink, Sink, wait_for


@dataclass(frozen=True)
class RigOptions:
    """How a rig starts its processes, and when it takes them for stuck."""

    database: Literal["sqlite", "postgresql"] = "sqlite"
    size_bytes: int = 500
    seed: int = 1
    stall_seconds: float = 60
    pg_bin: Path | None = None
    launch: Launch = field(default_factory=lambda: Launch(forked=True))


class Rig:
    """Starts processes with their files below ``directory``; ``close`` ends all of them."""

    def __init__(self, options: RigOptions, directory: Path) -> None:
        self.options = options
        self.children = Children()
        self.directory = directory
        self._numbers = count(1)
        self._postgres: Postgres | None = None

    def close(self) -> None:
        """End every process that this rig has started."""
        self.children.close()

    def new_directory(self, name: str) -> Path:
        """Return the path of a folder that does not exist yet."""
        return self.directory / f"{name}-{next(self._numbers)}"

    def postgres(self) -> Postgres:
        """Return the rig's PostgreSQL server, started on the first call."""
        if self._postgres is None:
            server = Postgres(self.children, self.new_directory("postgres"), self.options.pg_bin)
            server.start()
            self._postgres = server
        return self._postgres

    def recording_sink(self, silent_from: str | None = None) -> RecordingSink:
        """Return a sink. From ``silent_from`` on, ``greeting`` or a command, it does not answer."""
        return RecordingSink(
            self.children, self.new_directory("recording-sink"), silent_from=silent_from
        )

    def new_database(self) -> str | None:
        """Return the URL of an empty database, None for the instance's own SQLite file."""
        return None if self.options.database == "sqlite" else self.postgres().new_database()

    def proxy(
        self,
        *,
        home: Path | None = None,
        database_url: str | None = None,
        settings: dict[str, str] | None = None,
    ) -> ProxyProcess:
        """Return a proxy that is started by entering it."""
        return ProxyProcess(
            self.children,
            self.options.launch,
            home or self.new_directory("home"),
            database_url=database_url,
            settings=settings,
        )

    @contextlib.contextmanager
    def fresh_proxy(
        self, sink: Sink | None = None, settings: dict[str, str] | None = None
    ) -> Iterator[ProxyProcess]:
        """Run a new instance with an empty database, and an account for the sink."""
        with self.proxy(database_url=self.new_database(), settings=settings) as proxy:
            if sink is not None:
                proxy.add_account(sink.port)
            yield proxy

    def queue(self, proxy: ProxyProcess, prefix: str, total: int, **fields: Any) -> None:
        """Hand in messages of ``size_bytes``, 1000 a call."""
        for number, body in messages.calls(prefix, total, self.options.size_bytes, **fields):
            proxy.add_messages(body, number)

    def wait_accepted(
        self,
        proxy: ProxyProcess,
        sink: Sink,
        target: int,
        *,
        meanwhile: Callable[[], None] | None = None,
        interval: float = 0.005,
    ) -> float:
        """Return the monotonic time at which the sink had accepted ``target`` messages."""
        return wait_for(
            sink.count,
            target,
            stall_seconds=self.options.stall_seconds,
            interval=interval,
            alive=meanwhile or proxy.check_alive,
        )


@contextlib.contextmanager
def small_rig(**options: Any) -> Iterator[Rig]:
    """Run a rig in a temporary folder. Everything it started ends with the block."""
    with tempfile.TemporaryDirectory(prefix="mail-proxy-test-") as folder:
        directory = Path(folder)
        directory.chmod(0o755)  # PostgreSQL refuses root: as nobody it has its files here
        rig = Rig(RigOptions(**options), directory)
        try:
            yield rig
        finally:
            rig.close()
