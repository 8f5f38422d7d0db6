"""The proxy as a process of its own, for calls by the thousand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
from tests.harness.rig import small_rig

TENANT = "acme"
_TOKEN = "admin-token"


@dataclass(frozen=True)
class Target:
    """A running service. It sends nothing, and calls nobody."""

    url: str
    database: str
    admin: str
    tenant_key: str
    pid: int
    log: Path

    def errors(self) -> str:
        """What the service said of faults of its own."""
        return errors_in(self.log)

    def call(self, method: str, path: str, body: object = None) -> httpx.Response:
        """As the administrator."""
        headers = {"X-API-Token": self.admin}
        return httpx.request(
            method, self.url + path, headers=headers, json=body, timeout=60, trust_env=False
        )


@contextmanager
def serving(database: Literal["sqlite", "postgresql"]) -> Iterator[Target]:
    """Run a service with the tenant ``acme`` and an account, and print its errors at the end."""
    settings = {"GMP_API_TOKEN": _TOKEN, "GMP_SCHEDULER_ACTIVE": "false"}
    with small_rig(database=database) as rig:
        folder = rig.new_directory("home")
        database_url = rig.new_database() or f"sqlite:///{rig.directory / 'mail.db'}"
        proxy = rig.proxy(home=folder, database_url=database_url, settings=settings)
        with proxy:
            try:
                yield _prepared(
                    f"http://127.0.0.1:{proxy.port}", database_url, proxy.pid, proxy.log
                )
            finally:
                print(errors_in(proxy.log), end="", flush=True)


def _prepared(url: str, database_url: str, pid: int, log: Path) -> Target:
    target = Target(url, database_url, _TOKEN, "", pid, log)
    made = target.call("POST", "/tenant", {"id": TENANT})
    account = {"id": "a", "host": "127.0.0.1", "port": 1, "tenant_id": TENANT}
    target.call("POST", "/account", account).raise_for_status()
    key = made.raise_for_status().json()["api_key"]
    return Target(url, database_url, _TOKEN, key, pid, log)


def errors_in(log: Path) -> str:
    """Return the first lines of a log from its first error on."""
    lines = [x for x in log.read_text().splitlines(True) if "action=call.refused" not in x]
    start = next((n for n, x in enumerate(lines) if "ERROR" in x or "Traceback" in x), None)
    return "" if start is None else "".join(lines[start : start + 60])
