"""Importing the client library loads no server, and takes not much longer than its parts"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

_SCRIPT = """
import json, sys, time
begin = time.process_time()
import httpx, orjson, pydantic
needed = time.process_time()
import {module}
end = time.process_time()
print(json.dumps(dict(needed=needed - begin, own=end - needed, modules=sorted(sys.modules))))
"""
_SERVER = {
    *("aiosmtpd", "alembic", "cryptography", "dns", "fastapi", "prometheus_client", "psycopg"),
    *("sqlalchemy", "starlette", "typer", "uvicorn", "uvloop"),
}
_ROOMS = {"client", "domain", "errors", "telemetry", "wire"}


def test_importing_the_client_loads_no_server_and_takes_little_time() -> None:
    found = _imported("mail_proxy.client")
    assert _tops(found).isdisjoint(_SERVER)
    assert _rooms(found) <= _ROOMS
    assert found["own"] < 5 * found["needed"]


@pytest.mark.parametrize("name", ["django", "flask"])
def test_importing_an_integration_loads_no_server(name: str) -> None:
    found = _imported(f"mail_proxy.contrib.{name}")
    assert _tops(found).isdisjoint(_SERVER)
    assert _rooms(found) <= {*_ROOMS, "contrib"}


def _imported(module: str) -> dict[str, Any]:
    script = _SCRIPT.replace("{module}", module)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _tops(found: dict[str, Any]) -> set[str]:
    return {name.partition(".")[0] for name in found["modules"]}


def _rooms(found: dict[str, Any]) -> set[str]:
    return {name.split(".")[1] for name in found["modules"] if name.startswith("mail_proxy.")}
