"""What every scenario needs: options, sinks, fresh proxies, a database server."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal

from benchmarks import messages
from benchmarks.applications import Applications
from benchmarks.postgres import Postgres
from benchmarks.processes import Children
from benchmarks.proxy import Launch, Proxy
from benchmarks.sinks import RecordingSink, Sink, SmtpSink, wait_for


@dataclass(frozen=True)
class Options:
    database: Literal["sqlite", "postgresql"] = "sqlite"
    repeat: int = 1
    seed: int = 1
    messages: int = 20_000
    size_bytes: int = 2048
    single_calls: int = 4_000
    clients: int = 16
    latency_calls: int = 200
    finished: int = 200_000
    drain_messages: int = 10_000
    waiting: int = 1_000_000
    memory_messages: int = 100_000
    crash_messages: int = 5_000
    kills: int = 5
    dispatcher_messages: int = 5_000
    limit_seconds: int = 185
    chaos_messages: int = 10_000
    faults: int = 30
    #: Whether chaos saves the account after each fault, which ends the pause of one in trouble.
    saves_account: bool = False
    fairness_messages: int = 50_000
    report_tenants: int = 100
    report_seconds: int = 60
    report_kills: int = 20
    hang_messages: int = 10_000
    big_waiting: int = 1_000_000
    big_finished: int = 5_000_000
    big_small: int = 60_000
    big_tenants: int = 1_000
    big_accounts: int = 10_000
    big_senders: int = 10
    big_drain: int = 10_000
    big_calls: int = 11
    removed: int = 500_000
    upkeep_messages: int = 1_000_000
    stall_seconds: float = 120
    pg_bin: Path | None = None
    #: Whether the software of a peer may be installed where it is missing.
    install: bool = False
    launch: Launch = field(default_factory=Launch)


class Bench:
    def __init__(self, options: Options, directory: Path) -> None:
        self.options = options
        self.children = Children()
        self.directory = directory
        self._numbers = count(1)
        self._postgres: Postgres | None = None

    def close(self) -> None:
        self.children.close()

    def new_directory(self, name: str) -> Path:
        return self.directory / f"{name}-{next(self._numbers)}"

    def postgres(self) -> Postgres:
        if self._postgres is None:
            server = Postgres(self.children, self.new_directory("postgres"), self.options.pg_bin)
            server.start()
            self._postgres = server
        return self._postgres

    def smtp_sink(self) -> SmtpSink:
        return SmtpSink(self.children, self.new_directory("smtp-sink"))

    def recording_sink(self, silent_from: str | None = None) -> RecordingSink:
        """`silent_from`: `greeting` or a command to which it gives no answer any more."""
        return RecordingSink(
            self.children, self.new_directory("recording-sink"), silent_from=silent_from
        )

    def applications(self) -> Applications:
        return Applications(self.children, self.new_directory("applications"))

    def new_database(self) -> str | None:
        """None means the instance's own SQLite file."""
        return None if self.options.database == "sqlite" else self.postgres().new_database()

    def proxy(
        self,
        *,
        home: Path | None = None,
        database_url: str | None = None,
        settings: dict[str, str] | None = None,
    ) -> Proxy:
        return Proxy(
            self.children,
            self.options.launch,
            home or self.new_directory("home"),
            database_url=database_url,
            settings=settings,
        )

    @contextlib.contextmanager
    def fresh_proxy(
        self, sink: Sink | None = None, settings: dict[str, str] | None = None
    ) -> Iterator[Proxy]:
        """A new instance with an empty database, and an account for the sink."""
        with self.proxy(database_url=self.new_database(), settings=settings) as proxy:
            if sink is not None:
                proxy.add_account(sink.port)
            yield proxy

    def queue(self, proxy: Proxy, prefix: str, total: int, **fields: Any) -> None:
        for number, body in messages.calls(prefix, total, self.options.size_bytes, **fields):
            proxy.add_messages(body, number)

    def wait_accepted(
        self,
        proxy: Proxy,
        sink: Sink,
        target: int,
        *,
        meanwhile: Callable[[], None] | None = None,
        interval: float = 0.005,
    ) -> float:
        """The time at which the sink had accepted `target` messages in all."""
        return wait_for(
            sink.count,
            target,
            stall_seconds=self.options.stall_seconds,
            interval=interval,
            alive=meanwhile or proxy.check_alive,
        )
