"""The command line as a user has it: real processes, in a home folder of the test's own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.harness import forks
from tests.harness.forks import FORKED_COMMAND, ForkedProcess
from tests.harness.proxy import installed_command

from mail_proxy.cli import control
from mail_proxy.cli.instance import Instance
from mail_proxy.cli.process import Running

Found = TypeVar("Found")
CompletedCommand = subprocess.CompletedProcess[str]
Process = subprocess.Popen[str] | ForkedProcess
_LIMIT_SECONDS = 120.0
_POLL_SECONDS = 0.02


class CommandLine:
    """Runs ``mail-proxy`` with ``GMP_HOME`` in ``home`` and nothing else of the environment's.

    Its processes are forked from one that has imported the program. ``executed`` is for tests of
    the installed program itself: what it imports, or what the list of processes shows.
    """

    def __init__(self, home: Path, *, executed: bool = False) -> None:
        self.home = home
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("GMP_", "MAIL_"))}
        self.environ = {**inherited, "GMP_HOME": str(home)}
        self._executed = executed
        self._processes: list[Process] = []

    def __call__(self, *words: str, answer: str = "", **environ: str) -> CompletedCommand:
        process = self._start(words, environ, subprocess.PIPE)
        try:
            output, errors = process.communicate(answer, timeout=_LIMIT_SECONDS)
        except BaseException:
            process.kill()
            raise
        return CompletedCommand(words, process.wait(), output, errors)

    def foreground(self, *words: str, **environ: str) -> Process:
        """Start a command that goes on; it is ended with the test."""
        process = self._start(words, environ, subprocess.DEVNULL)
        self._processes.append(process)
        return process

    def _start(self, words: Sequence[str], environ: Mapping[str, str], stdin: int) -> Process:
        files = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = {**self.environ, **environ}
        if self._executed:
            command = [*installed_command(), *words]
            return subprocess.Popen(command, env=environment, text=True, **files)
        return forks.start([*FORKED_COMMAND, *words], environment=environment, **files)

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


def end_of(process: Process, number: signal.Signals) -> int:
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
