"""Starts an instance in the background, asks for its state, and stops it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mail_proxy.cli.instance import Instance
from mail_proxy.cli.output import waiting
from mail_proxy.cli.process import Running
from mail_proxy.errors import MailProxyError
from mail_proxy.kit.private_files import open_private

if TYPE_CHECKING:
    from mail_proxy.client import MailProxyClient

READY_SECONDS = 30.0
_POLL_SECONDS = 0.05
_ANSWER_SECONDS = 5.0
#: The full state counts every waiting message: some seconds, if there are millions.
_STATUS_SECONDS = 30.0
#: Added to shutdown_timeout, for closing connections after the last delivery.
_STOP_MARGIN_SECONDS = 10.0
_LOG_LINES_SHOWN = 15


class NotReady(MailProxyError):
    """The instance did not become ready in time."""

    code = "not_ready"


class StillRunning(MailProxyError):
    """The process did not end in time."""

    code = "still_running"


def launch(instance: Instance, serve: Callable[[], None], delivers: bool) -> Running:
    """Run ``serve`` in a new background process, and wait until the service is ready.

    If it never ``delivers``, wait only until it answers. Raises NotReady with the end of the log
    if the process dies.
    """
    log_from = instance.log_file.stat().st_size if instance.log_file.exists() else 0
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _detach(instance.log_file)
        serve()
        sys.exit(0)
    with waiting(f"Starting {instance.name}"):
        return _await_ready(instance, pid, log_from, delivers)


def why_not_ready(running: Running, delivers: bool = True) -> str:
    """Return why the service is not ready, or an empty text if it is.

    If it never ``delivers``, it is ready once it answers.
    """
    with _client(running, None, _ANSWER_SECONDS) as client:
        try:
            if delivers:
                client.instance.ready()
            else:
                client.instance.health()
        except MailProxyError as error:
            return _words(error)
    return ""


def service_status(running: Running, token: str | None) -> dict[str, Any]:
    """Return the full state of the service; raise MailProxyError without one."""
    with _client(running, token, _STATUS_SECONDS) as client:
        try:
            status = client.instance.status(full=True)
        except MailProxyError as error:
            raise MailProxyError(f"{running.url}: {_words(error)}") from None
    return status.model_dump(mode="json", exclude_unset=True)


def end_politely(instance: Instance, running: Running) -> None:
    """Send SIGTERM and wait for the end of the process. Raises StillRunning."""
    limit = running.shutdown_timeout + _STOP_MARGIN_SECONDS
    _signal(running, signal.SIGTERM)
    if not _ended(instance, running, limit):
        raise StillRunning(
            f"{instance.name} (pid {running.pid}) is still busy after {limit:.0f} s; "
            f"it ends by itself, or at once with `mail-proxy stop {instance.name} --force`"
        )


def kill(instance: Instance, running: Running) -> None:
    """Kill the process. Its messages return to the queue when its lease ends."""
    _signal(running, signal.SIGKILL)
    if not _ended(instance, running, _STOP_MARGIN_SECONDS):
        raise StillRunning(f"{instance.name} (pid {running.pid}) cannot be killed")


def _await_ready(instance: Instance, pid: int, log_from: int, delivers: bool) -> Running:
    end = time.monotonic() + READY_SECONDS
    reason = "its port is not open yet"
    while time.monotonic() < end:
        if os.waitpid(pid, os.WNOHANG)[0]:
            raise NotReady(f"{instance.name} did not start\n{_tail(instance.log_file, log_from)}")
        running = instance.find_running()
        if running is not None and running.pid == pid:
            reason = why_not_ready(running, delivers)
            if not reason:
                return running
        time.sleep(_POLL_SECONDS)
    raise NotReady(
        f"{instance.name} (pid {pid}) is not ready after {READY_SECONDS:.0f} s: {reason}. "
        f"It keeps trying; see {instance.log_file}, or stop it with "
        f"`mail-proxy stop {instance.name}`"
    )


def _signal(running: Running, number: signal.Signals) -> None:
    try:
        if number == signal.SIGKILL and os.getpgid(running.pid) == running.pid:
            # The leader of a process group: kill the processes that it started as well.
            os.killpg(running.pid, number)
        else:
            os.kill(running.pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise MailProxyError(f"process {running.pid} belongs to another user") from None


def _ended(instance: Instance, running: Running, limit_seconds: float) -> bool:
    end = time.monotonic() + limit_seconds
    while time.monotonic() < end:
        now = instance.find_running()
        if now is None or now.pid != running.pid:
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _detach(log_file: Path) -> None:
    os.setsid()
    log = open_private(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)


def _tail(log_file: Path, start: int) -> str:
    with os.fdopen(open_private(log_file, os.O_RDONLY), "rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-_LOG_LINES_SHOWN:])


def _client(running: Running, token: str | None, seconds: float) -> MailProxyClient:
    # Loaded by the commands that need it only, so that the others start fast.
    from mail_proxy.client import MailProxyClient, Retries

    # trust_env off: an HTTP proxy of the environment must not see loopback calls.
    return MailProxyClient(
        running.url, token, timeout=seconds, retries=Retries(attempts=1), trust_env=False
    )


def _words(error: MailProxyError) -> str:
    is_answer = error.code != "no_answer"
    return f"{error.http_status}: {error.message}" if is_answer else error.message
