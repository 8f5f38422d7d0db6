"""Start ``python -m mail_proxy`` by forking a process that has imported everything.

The first start in a test process starts ``fork_server``, which ends with the test process.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from tests.harness.errors import HarnessError

FORKED_COMMAND = (sys.executable, "-m", "mail_proxy")
#: Bound of a request's length, mostly of the environment.
LARGEST_REQUEST_BYTES = 2**17
_REPOSITORY = Path(__file__).resolve().parents[2]
_NUMBER = struct.Struct("i")
_END_SECONDS = 10
_File = int | IO[bytes] | None


class ForkedProcess:
    """Process of the program ``mail_proxy``, with the methods of ``subprocess.Popen``."""

    def __init__(self, args: Sequence[str], report: socket.socket, pipes: dict[str, IO[str]]):
        self.args = args
        self.stdin = pipes.get("stdin")
        self.stdout = pipes.get("stdout")
        self.stderr = pipes.get("stderr")
        self.returncode: int | None = None
        self._report = report
        self._lock = threading.Lock()
        self.pid = self._read_number()

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. Raises subprocess.TimeoutExpired after so many seconds."""
        with self._lock:
            if self.returncode is None:
                self._report.settimeout(timeout)
                try:
                    self.returncode = self._read_number()
                except (TimeoutError, BlockingIOError):
                    raise subprocess.TimeoutExpired(list(self.args), timeout or 0) from None
                self._report.close()
            return self.returncode

    def communicate(self, answer: str = "", timeout: float | None = None) -> tuple[str, str]:
        """Write ``answer``, read both outputs to their ends, and wait for the process."""
        found: dict[str, str] = {}
        outputs = {"stdout": self.stdout, "stderr": self.stderr}
        readers = []
        for name, pipe in outputs.items():
            if pipe is not None:
                reader = threading.Thread(target=_read, args=(found, name, pipe), daemon=True)
                reader.start()
                readers.append(reader)
        if self.stdin is not None:
            with suppress(BrokenPipeError), self.stdin:
                self.stdin.write(answer)
        for reader in readers:
            reader.join(timeout)
        if any(reader.is_alive() for reader in readers):
            raise subprocess.TimeoutExpired(list(self.args), timeout or 0)
        self.wait(timeout)
        return found.get("stdout", ""), found.get("stderr", "")

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def _read_number(self) -> int:
        answer = self._report.recv(_NUMBER.size)
        if not answer:
            raise HarnessError("the fork server has ended")
        return int(_NUMBER.unpack(answer)[0])


class _ForkServer:
    """The fork server of this process, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: socket.socket | None = None

    def send(self, request: bytes, files: list[int]) -> None:
        with self._lock:
            if self._requests is None:
                self._requests = self._start()
            socket.send_fds(self._requests, [request], files)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.harness.fork_server", str(theirs.fileno())],
                cwd=_REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        atexit.register(_end, process, ours)
        return ours


_server = _ForkServer()


def start(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    stdin: _File = None,
    stdout: _File = None,
    stderr: _File = None,
    start_new_session: bool = False,
    death_signal: int | None = None,
) -> ForkedProcess:
    """Start a process, as ``subprocess.Popen`` does; ``command`` begins as FORKED_COMMAND.

    Pipes are for text. ``death_signal`` is sent to the process when this one ends.
    """
    length = len(FORKED_COMMAND)
    environment = dict(os.environ if environment is None else environment)
    same = _of_python(environment) == _of_python(os.environ)
    if tuple(command[:length]) != FORKED_COMMAND or not same:
        raise ValueError("only this interpreter with its own variables is forked")
    request = {
        "words": list(command[length:]),
        "environment": environment,
        "cwd": str(cwd or Path.cwd()),
        "new_session": start_new_session,
        "death_signal": death_signal,
    }
    pipes: dict[str, IO[str]] = {}
    report, theirs = socket.socketpair()
    with ExitStack() as sent, theirs:
        files: list[int] = []
        for name, file in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
            files.append(_descriptor(name, file, files, pipes, sent))
        _server.send(json.dumps(request).encode(), [*files, theirs.fileno()])
    return ForkedProcess(command, report, pipes)


def _descriptor(
    name: str, file: _File, before: list[int], pipes: dict[str, IO[str]], sent: ExitStack
) -> int:
    """Return the descriptor to send for a file as ``Popen`` takes it."""
    if file == subprocess.PIPE:
        reader, writer = os.pipe()
        mode, ours, theirs = ("w", writer, reader) if name == "stdin" else ("r", reader, writer)
        pipes[name] = os.fdopen(ours, mode)
        sent.callback(os.close, theirs)
        return theirs
    if file == subprocess.DEVNULL:
        return sent.enter_context(Path(os.devnull).open("r+b", 0)).fileno()
    if file == subprocess.STDOUT:
        return before[1]
    if file is None:
        return len(before)
    return file if isinstance(file, int) else file.fileno()


def _of_python(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("PYTHON")}


def _read(found: dict[str, str], name: str, pipe: IO[str]) -> None:
    with pipe:
        found[name] = pipe.read()


def _end(server: subprocess.Popen[bytes], requests: socket.socket) -> None:
    requests.close()
    with suppress(subprocess.TimeoutExpired):
        server.wait(_END_SECONDS)
