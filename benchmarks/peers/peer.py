"""What the benchmark knows of a peer, and how its software gets here."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from tests.harness.errors import HarnessError, NotAvailable
from tests.harness.processes import Process, usage
from tests.harness.sinks import Sink

from benchmarks.bench import Bench

_INSTALL_SECONDS = 600


class Peer:
    """One peer on its own directory and ports, relaying everything to `sink`.

    A peer has to be as durable as the proxy: what `submit` handed over survives a power cut.
    """

    name: ClassVar[str]
    #: What it is and which settings it has, in one line.
    about: ClassVar[str]

    def __init__(self, bench: Bench, sink: Sink) -> None:
        self.bench = bench
        self.sink = sink
        self.directory = bench.new_directory(f"peer-{self.name}")
        self.processes: list[Process] = []

    def provide(self, *, install: bool) -> None:
        """Find the software, or install it where `install` says so; else NotAvailable."""
        raise NotImplementedError

    def start(self) -> None:
        raise NotImplementedError

    def submit(self, total: int) -> None:
        """Hand over `total` messages; all of them are durable when this returns."""
        raise NotImplementedError

    def versions(self) -> str:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True)
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        for process in reversed(self.processes):
            self.bench.children.stop(process, patience=5)

    def cpu_seconds(self) -> float:
        """Of all its processes, those that ended included; not of the client."""
        return sum(usage(process.pid).cpu_seconds for process in self.processes)

    def check_alive(self) -> None:
        for process in self.processes:
            if process.poll() is not None:
                raise HarnessError(f"{self.name} ended with code {process.returncode}")

    def start_process(
        self, label: str, argv: Sequence[str | Path], environment: dict[str, str] | None = None
    ) -> None:
        """A process of the peer; its output goes to a file beside its data."""
        shown = environment or {}
        with (self.directory / f"{label}.log").open("ab") as log:
            process = self.bench.children.start(
                f"{self.name}: {label}",
                argv,
                environment={**os.environ, **shown},
                shown_environment=shown,
                cwd=self.directory,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)

    def run_client(
        self, argv: Sequence[str | Path], environment: dict[str, str] | None = None
    ) -> None:
        """The application's side, run to its end."""
        shown = environment or {}
        client = self.bench.children.start(
            f"{self.name}: client",
            argv,
            environment={**os.environ, **shown},
            shown_environment=shown,
            cwd=self.directory,
        )
        try:
            code = client.wait(self.bench.options.stall_seconds)
        except subprocess.TimeoutExpired as error:
            raise HarnessError(f"{self.name}: the client did not come to an end") from error
        finally:
            self.bench.children.kill(client)
        if code:
            raise HarnessError(f"{self.name}: the client ended with code {code}")


def program(name: str, package: str, *, install: bool) -> str:
    """The path of a program of Debian's `package`."""
    places = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    if found := shutil.which(name, path=places):
        return found
    if not install:
        raise NotAvailable(f"{name} is missing; --install installs Debian's {package}")
    installing(["apt-get", "install", "-y", "--no-install-recommends", package])
    if found := shutil.which(name, path=places):
        return found
    raise NotAvailable(f"Debian's {package} has no {name}")


def installing(command: Sequence[str | Path]) -> None:
    shown = " ".join(str(part) for part in command)
    print(f"installing: {shown}", file=sys.stderr)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        run = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_INSTALL_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotAvailable(f"{shown}: {error}") from error
    if run.returncode:
        last = (run.stderr.strip() or run.stdout.strip()).splitlines()[-1:]
        raise NotAvailable(f"{shown}: {' '.join(last) or run.returncode}")
