"""Process that has imported mail_proxy once, and forks a process for each start of the program.

Importing takes two seconds of processor time, nearly all that a short command needs. A forked
process is a process of its own in every respect, and runs the real entry point ``python -m
mail_proxy``. Only its line in the list of processes is that of this program.

``forks.py`` starts this program, and says how a request looks.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import socket
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.harness.forks import LARGEST_REQUEST_BYTES
from tests.harness.processes import die_with_parent

from mail_proxy.cli.commands import COMMANDS

#: The program and its server, and what they import when they first need it.
_MODULES = (
    "mail_proxy.cli.main",
    "mail_proxy.cli.root",
    "mail_proxy.cli.in_process",
    *(
        f"mail_proxy.cli.commands.{name}"
        for name in sorted({entry.target.partition(":")[0] for entry in COMMANDS.values()})
    ),
    "mail_proxy.client",
    "mail_proxy.cli.serving",
    "alembic.command",
    "httptools",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "uvicorn.lifespan.on",
    "uvloop",
)
_SECONDS_BETWEEN_LOOKS = 5.0


@dataclass(frozen=True)
class Start:
    """What a new process begins with: words, environment, folder, session, death signal."""

    words: list[str]
    environment: dict[str, str]
    cwd: str
    new_session: bool
    death_signal: int | None

    def take_effect(self, files: list[int]) -> None:
        """Make this process the requested one. ``files`` are its stdin, stdout and stderr."""
        if self.new_session:
            os.setsid()
        if self.death_signal is not None:
            die_with_parent(self.death_signal)
        for target, file in enumerate(files):
            os.dup2(file, target)
            os.close(file)
        sys.stdin, sys.stdout, sys.stderr = (
            open(number, mode, buffering, errors=errors, closefd=False)  # noqa: SIM115
            for number, mode, buffering, errors in (
                (0, "r", -1, "strict"),
                (1, "w", -1, "strict"),
                (2, "w", 1, "backslashreplace"),
            )
        )
        os.environ.clear()
        os.environ.update(self.environment)
        time.tzset()
        os.chdir(self.cwd)
        sys.argv[1:] = self.words


class _Living:
    """A process that was forked. ``report`` gets its pid, and its exit status at the end."""

    def __init__(self, pid: int, report: socket.socket) -> None:
        self._pid = pid
        self._report = report
        self.end = os.pidfd_open(pid)
        self._send(pid)

    def bury(self) -> None:
        """Report the exit status, then free the pid, so that nobody signals another process."""
        ended = os.waitid(os.P_PIDFD, self.end, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        is_exit = ended.si_code == os.CLD_EXITED
        self._send(ended.si_status if is_exit else -ended.si_status)
        os.waitpid(self._pid, 0)
        self.close()

    def close(self) -> None:
        os.close(self.end)
        self._report.close()

    def _send(self, number: int) -> None:
        with suppress(OSError):  # nobody waits for the process any more
            self._report.sendall(struct.pack("i", number))


def serve(requests: socket.socket) -> Start | None:
    """Fork for each request. Return the Start in a new process, None here at the end.

    The end is that of the test process, which may have been killed while a process of a test still
    has its side of ``requests``.
    """
    test_process = os.getppid()
    with selectors.DefaultSelector() as events:
        events.register(requests, selectors.EVENT_READ)
        while os.getppid() == test_process:
            for key, _ in events.select(_SECONDS_BETWEEN_LOOKS):
                if key.data is not None:
                    events.unregister(key.fd)
                    key.data.bury()
                    continue
                request, files, _, _ = socket.recv_fds(requests, LARGEST_REQUEST_BYTES, 4)
                if not request:
                    return None
                report = socket.socket(fileno=files.pop())
                pid = os.fork()
                if pid == 0:
                    report.close()
                    requests.close()
                    for other in list(events.get_map().values()):
                        if other.data is not None:
                            other.data.close()
                    start = Start(**json.loads(request))
                    start.take_effect(files)
                    return start
                for file in files:
                    os.close(file)
                living = _Living(pid, report)
                events.register(living.end, selectors.EVENT_READ, living)
    return None


def _import_program() -> None:
    for name in _MODULES:
        importlib.import_module(name)
    if len(list(Path("/proc/self/task").iterdir())) != 1:
        raise RuntimeError("an import has started a thread, which a forked process would lack")


class _Ending:
    """Last step of a forked process: without it, freeing all modules is half of its work.

    Threads have been joined and all other exit handlers have run by then.
    """

    def __init__(self) -> None:
        self.code: int | None = None

    def __call__(self) -> None:
        if self.code is not None:
            for file in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    file.flush()
            os._exit(self.code)


def main() -> None:
    ending = _Ending()
    atexit.register(ending)  # before all others, so that it is called after them
    _import_program()
    gc.collect()
    gc.freeze()
    if serve(socket.socket(fileno=int(sys.argv[1]))) is None:
        return
    try:
        runpy.run_module("mail_proxy", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        ending.code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    ending.code = 0


if __name__ == "__main__":
    main()
