"""Importing the client library loads no server, and takes not much longer than its parts"""

from __future__ import annotations

import json
import subprocess
import sys

_SCRIPT = """
import json, sys, time
begin = time.process_time()
import httpx, orjson, pydantic
needed = time.process_time()
import mail_proxy.client
end = time.process_time()
print(json.dumps({"needed": needed - begin, "own": end - needed, "modules": sorted(sys.modules)}))
"""
_SERVER = {
    *("aiosmtpd", "alembic", "cryptography", "dns", "fastapi", "prometheus_client", "psycopg"),
    *("sqlalchemy", "starlette", "typer", "uvicorn", "uvloop"),
}
_ROOMS = {"client", "domain", "errors", "telemetry", "wire"}


def test_importing_the_client_loads_no_server_and_takes_little_time() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert {name.partition(".")[0] for name in found["modules"]}.isdisjoint(_SERVER)
    own = {name.split(".")[1] for name in found["modules"] if name.startswith("mail_proxy.")}
    assert own <= _ROOMS
    assert found["own"] < 5 * found["needed"]
