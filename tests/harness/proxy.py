"""The proxy, started and used as its users do: command line, REST, environment."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote, urlencode

from tests.harness.errors import HarnessError
from tests.harness.forks import FORKED_COMMAND
from tests.harness.processes import Children, Process, Usage, free_port, usage
from tests.harness.sinks import wait_for

ACCOUNT = "sink"
INSTANCE = "bench"
_START_SECONDS = 60
_IDLE_CONNECTION_SECONDS = 2  # the server may close it after five
_STOP_SECONDS = 40  # above the proxy's own shutdown_timeout of 30


def installed_command() -> list[str]:
    beside = Path(sys.executable).with_name("mail-proxy")
    if beside.exists():
        return [str(beside)]
    on_path = shutil.which("mail-proxy")
    return [on_path] if on_path else [sys.executable, "-m", "mail_proxy"]


@dataclass(frozen=True)
class Launch:
    """How to start a proxy. Settings of our own environment do not reach it.

    ``forked`` starts it by forking a process that has imported it, instead of the ``command``.
    """

    command: list[str] = field(default_factory=installed_command)
    workers: int | None = None
    settings: dict[str, str] = field(default_factory=dict)
    forked: bool = False


class Response(NamedTuple):
    status: int
    retry_after: str
    body: bytes


class ProxyProcess:
    def __init__(
        self,
        children: Children,
        launch: Launch,
        home: Path,
        *,
        database_url: str | None = None,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self._children = children
        self._launch = launch
        self._home = home
        self._database_url = database_url
        self._settings = {**launch.settings, **(settings or {})}
        self._process: Process | None = None
        self._used = 0.0
        self._retry_after = ""
        self._connection: http.client.HTTPConnection | None = None
        self._token = self._settings.get("GMP_API_TOKEN", "")

    @property
    def token(self) -> str:
        return self._token

    def start(self) -> Self:
        self._home.mkdir(parents=True, exist_ok=True)
        shown = {"GMP_HOME": str(self._home), **self._settings}
        with self.log.open("ab") as log:
            self._process = self._children.start(
                f"mail-proxy ({self._flavour()})",
                self._argv(),
                environment=_clean_environment() | shown,
                shown_environment={name: _masked(name, value) for name, value in shown.items()},
                stdout=log,
                stderr=log,
                death_signal=signal.SIGTERM,
                forked=self._launch.forked,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def _argv(self) -> list[str]:
        command = FORKED_COMMAND if self._launch.forked else self._launch.command
        argv = [*command, "start", INSTANCE, "--port", str(self.port)]
        if self._database_url:
            argv += ["--database-url", self._database_url]
        if self._launch.workers:
            argv += ["--workers", str(self._launch.workers)]
        return argv

    def _flavour(self) -> str:
        database = "PostgreSQL" if self._database_url else "SQLite"
        return database if self._dispatches else f"{database}, intake only"

    @property
    def _dispatches(self) -> bool:
        return self._settings.get("GMP_SCHEDULER_ACTIVE") != "false"

    @property
    def log(self) -> Path:
        return self._home / "output"

    def stop(self) -> None:
        self._disconnect()
        if self._process is not None:
            self._children.stop(self._process, patience=_STOP_SECONDS)

    def terminate(self, patience: float) -> int:
        """SIGTERM; the exit code. Raises when it is still there after so many seconds."""
        self._disconnect()
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired as error:
            raise self._failure(f"still there {patience:g} s after SIGTERM") from error

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """kill -9 for all processes of the proxy at once."""
        self._disconnect()
        assert self._process is not None
        self._children.kill(self._process)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def usage(self) -> Usage:
        assert self._process is not None
        return usage(self._process.pid)

    def check_alive(self) -> None:
        if self._process is None or self._process.poll() is None:
            return
        raise self._failure(f"the proxy ended with code {self._process.returncode}")

    def _failure(self, what: str) -> HarnessError:
        tail = self.log.read_text(errors="replace").splitlines()[-15:]
        return HarnessError("\n  ".join([f"{what}; its output:", *tail]))

    def _wait_until_ready(self) -> None:
        # With the dispatcher off /ready stays at 503 on purpose, but /status answers.
        path = "/ready" if self._dispatches else "/status"
        token_file = self._home / INSTANCE / "token"
        deadline = time.monotonic() + _START_SECONDS
        status, answer = 0, b""
        while time.monotonic() < deadline:
            self.check_alive()
            if not self._token and token_file.exists():
                self._token = token_file.read_text().strip()
            # Asking for /status without a token would count as failed log-ins.
            if self._token:
                try:
                    status, answer = self._exchange("GET", path)
                except (OSError, http.client.HTTPException):
                    self._disconnect()
                if status == 200:
                    return
            time.sleep(0.02)
        raise self._failure(
            f"not ready after {_START_SECONDS} s: GET {path} gave {status} {answer[:200]!r}, "
            f"token file {'present' if self._token else 'missing'}"
        )

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        if time.monotonic() - self._used > _IDLE_CONNECTION_SECONDS:
            self._disconnect()
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {"X-API-Token": self._token, "Content-Type": "application/json"}
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        answer = response.read()
        self._retry_after = response.headers["Retry-After"] or ""
        self._used = time.monotonic()
        return response.status, answer

    def try_request(self, method: str, path: str, body: bytes | None = None) -> Response:
        """Status, Retry-After (empty where there is none) and body, whatever they are."""
        self._disconnect()
        status, answer = self._exchange(method, path, body)
        return Response(status, self._retry_after, answer)

    def request(self, method: str, path: str, body: bytes | None = None) -> Any:
        try:
            status, answer = self._exchange(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            self._disconnect()
            self.check_alive()
            raise HarnessError(f"{method} {path}: {error!r}") from error
        if status != 200:
            raise HarnessError(f"{method} {path}: {status} {answer[:300]!r}")
        return json.loads(answer)

    def add_account(self, sink_port: int, **fields: object) -> None:
        server = {"host": "127.0.0.1", "port": sink_port, "tls": "none"}
        account = {"id": ACCOUNT, **server, **fields}
        self.request("POST", "/account", json.dumps(account).encode())

    def report_to(self, url: str, tenant_id: str = "default") -> None:
        """Have the tenant's delivery reports posted there."""
        body = json.dumps({"client_base_url": url}).encode()
        self.request("PUT", f"/tenant/{quote(tenant_id, safe='')}", body)

    def add_messages(self, body: bytes, count: int) -> None:
        answer = self.request("POST", "/commands/add-messages", body)
        if answer["queued"] != count:
            raise HarnessError(f"{answer['queued']} of {count} queued: {answer['rejected'][:3]}")

    def add_tenant(self, tenant: str) -> None:
        self.request("POST", "/tenant", json.dumps({"id": tenant}).encode())

    def suspend(self, tenant: str = "default") -> None:
        self.request("POST", f"/commands/suspend?tenant_id={tenant}")

    def activate(self, tenant: str = "default") -> None:
        self.request("POST", f"/commands/activate?tenant_id={tenant}")

    def pending(self) -> int:
        return int(self.request("GET", "/status")["pending_messages"])

    def wait_until_idle(self, stall_seconds: float) -> None:
        wait_for(
            lambda: -self.pending(),
            0,
            stall_seconds=stall_seconds,
            interval=0.05,
            alive=self.check_alive,
        )

    def ids_with_status(self, status: str) -> list[str]:
        ids: list[str] = []
        cursor: str | None = None
        while True:
            query = {"status": status, "limit": "1000"} | ({"cursor": cursor} if cursor else {})
            page = self.request("GET", f"/messages?{urlencode(query, quote_via=quote)}")
            ids += [message["id"] for message in page["messages"]]
            cursor = page.get("next_cursor")
            if not cursor:
                return ids

    def uncertain_events(self, mail_id: str) -> int:
        """How often nobody knew whether the server had taken the message."""
        answer = self.request("GET", f"/messages/{quote(mail_id, safe='')}/events")
        return sum(bool(event["event_data"].get("uncertain")) for event in answer["events"])

    def sent_by_this_instance(self) -> float | None:
        """`gmp_sent_total`, or None while the metric has no series."""
        _, text = self._exchange("GET", "/metrics")
        samples = [line for line in text.decode().splitlines() if line.startswith("gmp_sent_total")]
        return sum(float(line.rpartition(" ")[2]) for line in samples) if samples else None


def _masked(name: str, value: str) -> str:
    return "..." if name.endswith(("_TOKEN", "_KEY")) else value


def _clean_environment() -> dict[str, str]:
    ours = ("GMP_", "MAIL_PROXY_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
