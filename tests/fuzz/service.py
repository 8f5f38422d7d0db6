"""The proxy as a process of its own, for calls by the thousand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from mail_proxy.testing.postgres import postgres_server

TENANT = "acme"
_TOKEN = "admin-token"
_START_SECONDS = 30.0


@dataclass(frozen=True)
class Target:
    """A running service. It sends nothing, and calls nobody."""

    url: str
    database: str
    admin: str
    tenant_key: str

    def call(self, method: str, path: str, body: object = None) -> httpx.Response:
        """As the administrator."""
        headers = {"X-API-Token": self.admin}
        return httpx.request(
            method, self.url + path, headers=headers, json=body, timeout=60, trust_env=False
        )


@contextmanager
def serving(database: str) -> Iterator[Target]:
    """A service on ``sqlite`` or ``postgresql``, with the tenant ``acme`` and an account."""
    postgres = postgres_server() if database == "postgresql" else nullcontext(None)
    with TemporaryDirectory(prefix="gmp-fuzz-") as folder, postgres as url:
        database_url = url or str(Path(folder) / "mail.db")
        with _process(Path(folder), database_url) as (address, log):
            try:
                yield _prepared(address, database_url)
            finally:
                print(_errors(log), end="", flush=True)


@contextmanager
def _process(folder: Path, database_url: str) -> Iterator[tuple[str, Path]]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GMP_")}
    environment |= {
        "GMP_HOME": str(folder),
        "GMP_API_TOKEN": _TOKEN,
        "GMP_SCHEDULER_ACTIVE": "false",
        "GMP_DATABASE_URL": database_url,
    }
    log = folder / "output"
    command = [sys.executable, "-m", "mail_proxy", "start", "fuzz", "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stderr=output, stdout=output)
    try:
        yield _address(process, log), log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("fuzz is running at "):
                return line.split()[-1]
        time.sleep(0.05)
    raise RuntimeError(f"the service did not start\n{log.read_text()}")


def _prepared(url: str, database_url: str) -> Target:
    target = Target(url, database_url, _TOKEN, "")
    made = target.call("POST", "/tenant", {"id": TENANT})
    account = {"id": "a", "host": "127.0.0.1", "port": 1, "tenant_id": TENANT}
    target.call("POST", "/account", account).raise_for_status()
    return Target(url, database_url, _TOKEN, made.raise_for_status().json()["api_key"])


def _errors(log: Path) -> str:
    """What the service said of faults of its own."""
    lines = [x for x in log.read_text().splitlines(True) if "action=call.refused" not in x]
    start = next((n for n, x in enumerate(lines) if "ERROR" in x or "Traceback" in x), None)
    return "" if start is None else "".join(lines[start : start + 60])
