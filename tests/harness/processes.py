"""Child processes that end with their parent, and the processor time and memory they use."""

import contextlib
import ctypes
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from tests.harness import forks
from tests.harness.forks import ForkedProcess

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

Process = subprocess.Popen[bytes] | ForkedProcess


def free_port() -> int:
    """Reserve a port of 127.0.0.1 until this process ends, and return it.

    The reservation is a socket that is bound and does not listen. No other program gets the
    port, and a server that sets SO_REUSEADDR, as servers do, can listen on it all the same.
    """
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        port = int(reserved.getsockname()[1])
        reserved.detach()  # stays bound without an object that warns of not being closed
    return port


def unprivileged_user() -> str | None:
    """The user for programs that refuse root; None when we are not root."""
    return "nobody" if os.geteuid() == 0 else None


def die_with_parent(death_signal: int) -> None:
    """Have the kernel send this process a signal when its parent ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)


class Children:
    """Start from the main thread only: the kernel's death signal follows the thread."""

    def __init__(self) -> None:
        self.commands: dict[str, str] = {}
        self._alive: list[Process] = []

    def start(
        self,
        label: str,
        argv: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        shown_environment: Mapping[str, str] | None = None,
        user: str | None = None,
        cwd: Path | str | None = None,
        stdin: int | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = subprocess.DEVNULL,
        stderr: int | IO[bytes] | None = None,
        death_signal: int = signal.SIGKILL,
        forked: bool = False,
    ) -> Process:
        """Start a process that ends with this one; ``forked`` is for FORKED_COMMAND."""
        command = [str(part) for part in argv]
        self._note(label, command, shown_environment or {})
        process: Process
        files = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        if forked:
            process = forks.start(
                command,
                environment=environment,
                cwd=cwd,
                **files,
                start_new_session=True,
                death_signal=death_signal,
            )
        else:
            process = subprocess.Popen(
                command,
                env=environment,
                user=user,
                cwd=cwd,
                **files,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, death_signal),
            )
        self._alive.append(process)
        return process

    def _note(self, label: str, command: list[str], environment: Mapping[str, str]) -> None:
        settings = "".join(f"{name}={shlex.quote(value)} " for name, value in environment.items())
        self.commands.setdefault(label, settings + shlex.join(command))

    def stop(self, process: Process, *, patience: float = 10, first: int = signal.SIGTERM) -> None:
        if process.poll() is None:
            process.send_signal(first)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
        self.kill(process)

    def kill(self, process: Process) -> None:
        """SIGKILL at once for all that it started, also for what left its process group."""
        descendants = process_tree(process.pid) if process.poll() is None else []
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for pid in descendants:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        if process in self._alive:
            self._alive.remove(process)

    def close(self) -> None:
        for process in list(reversed(self._alive)):
            self.stop(process, patience=5)


@dataclass(frozen=True)
class Usage:
    """Sums over a process tree. Pages that forked processes share count once for each."""

    cpu_seconds: float
    peak_rss_bytes: int
    rss_bytes: int
    processes: int


def usage(root: int) -> Usage:
    cpu = peak = resident = count = 0
    for pid in process_tree(root):
        try:
            ticks = _stat(pid)[11:15]
            memory = _memory(pid)
        except OSError:
            continue
        cpu += sum(int(tick) for tick in ticks)
        peak += memory.get("VmHWM", 0)
        resident += memory.get("VmRSS", 0)
        count += 1
    return Usage(cpu / _TICKS_PER_SECOND, peak, resident, count)


def process_tree(root: int) -> list[int]:
    """Return the pid of a process and of all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; the name before it may hold blanks."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _memory(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines if line.startswith(("VmHWM", "VmRSS")))
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}
