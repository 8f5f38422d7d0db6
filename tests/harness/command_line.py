"""The command line as a user has it: real processes, in a home folder of the test's own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from mail_proxy.cli import control
from mail_proxy.cli.instance import Instance
from mail_proxy.cli.process import Running

Found = TypeVar("Found")
CompletedCommand = subprocess.CompletedProcess[str]
_COMMAND = [sys.executable, "-m", "mail_proxy"]
_LIMIT_SECONDS = 120.0
_POLL_SECONDS = 0.02


class CommandLine:
    """Runs ``mail-proxy`` with ``GMP_HOME`` in ``home`` and nothing else of the environment's."""

    def __init__(self, home: Path) -> None:
        self.home = home
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("GMP_", "MAIL_"))}
        self.environ = {**inherited, "GMP_HOME": str(home)}
        self._processes: list[subprocess.Popen[str]] = []

    def __call__(self, *words: str, answer: str = "", **environ: str) -> CompletedCommand:
        return subprocess.run(
            [*_COMMAND, *words],
            env={**self.environ, **environ},
            input=answer,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def foreground(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        """A command that goes on; it is ended with the test."""
        process = subprocess.Popen(
            [*_COMMAND, *words],
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def instance(self, name: str) -> Instance:
        return Instance(name, self.home)

    def ready(self, name: str) -> Running:
        """The running instance, as soon as it is ready."""

        def look() -> Running | None:
            running = self.instance(name).find_running()
            return running if running and not control.why_not_ready(running) else None

        return wait_for(look)

    def started(self, name: str, *words: str, **environ: str) -> Running:
        """Start an instance in the background on a free port, and wait until it is ready.

        The command gives up after 30 s, which is too soon for a busy machine.
        """
        done = self("start", name, "--port", "0", "--background", *words, **environ)
        assert done.returncode == 0 or "It goes on trying" in done.stderr, done.stderr
        return self.ready(name)

    def end_everything(self) -> None:
        for instance in Instance.all(self.environ):
            running = instance.find_running()
            if running is not None:
                control.kill(instance, running)
        for process in self._processes:
            process.kill()
            process.communicate()


def wait_for(look: Callable[[], Found | None]) -> Found:
    """What ``look`` finds; processes tell nobody when they get somewhere, so it is asked often."""
    end = time.monotonic() + _LIMIT_SECONDS
    while time.monotonic() < end:
        found = look()
        if found is not None:
            return found
        time.sleep(_POLL_SECONDS)
    raise AssertionError(f"{look.__qualname__}: nothing after {_LIMIT_SECONDS:.0f} s")


def end_of(process: subprocess.Popen[str], number: signal.Signals) -> int:
    """Exit code after the signal."""
    process.send_signal(number)
    return process.wait(_LIMIT_SECONDS)


@contextmanager
def occupied_port(port: int = 0) -> Iterator[int]:
    """A port with a listener, ours or another program's."""
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError:
        # Somebody else has it: just as good.
        yield port
        return
    with listener:
        yield listener.getsockname()[1]
