"""Object storage on loopback: S3 by moto, Google's by an emulator, Azure's by azurite."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from tests.harness.patience import PATIENCE_SECONDS
from tests.harness.processes import free_port

#: The account of every azurite, from its documentation.
_AZURE_ACCOUNT = "devstoreaccount1"
_AZURE_KEY = base64.b64encode(b"a key of the tests, 32 octets ..").decode()
_NOT_STARTED = (httpx.HTTPError, ConnectionError)


def needed(found: object, missing: str) -> None:
    """Skip a test without its server; CI has all of them."""
    if not found:
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)


@contextmanager
def serving(url: str, command: list[str], **environment: str) -> Iterator[str]:
    """Run a server until the end of the block; it is ready when it answers anything."""
    everything = {**os.environ, **environment}
    output = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=output, stderr=output, env=everything) as server:
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not answers(url):
                assert time.monotonic() < deadline, f"{command} does not answer"
                assert server.poll() is None, f"{command} has ended"
                time.sleep(0.05)
            yield url
        finally:
            server.terminate()


def answers(url: str) -> bool:
    try:
        httpx.get(url, trust_env=False)
    except _NOT_STARTED:
        return False
    return True


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, Any]]:
    """Configuration of a mount of a bucket of moto."""
    there = find_spec("moto") and find_spec("s3fs")
    needed(there, "moto or s3fs is missing: pip install -r requirements-clouds.txt")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with serving(f"http://127.0.0.1:{port}", command) as url:
        assert httpx.put(f"{url}/files", trust_env=False).is_success
        place = {"bucket": "files", "prefix": "mail", "endpoint_url": url, "region": "us-east-1"}
        yield {**place, "key": "a", "secret": "b"}


@pytest.fixture(scope="session")
def gcs() -> Iterator[dict[str, Any]]:
    """Configuration of a mount of a bucket of Google's emulator."""
    there = find_spec("gcp_storage_emulator") and find_spec("gcsfs")
    missing = "gcp-storage-emulator or gcsfs is missing: pip install -r requirements-clouds.txt"
    needed(there, missing)
    port = free_port()
    command = ["-m", "gcp_storage_emulator", "start", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--in-memory", "--default-bucket", "files"]
    with serving(f"http://127.0.0.1:{port}", [sys.executable, *command]) as url:
        # gcsfs reads them when it is imported.
        os.environ["STORAGE_EMULATOR_HOST"] = url
        os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
        yield {"bucket": "files", "prefix": "mail"}


def service_account() -> dict[str, str]:
    """A service account's key that no Google knows."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {
        "type": "service_account",
        "project_id": "tests",
        "private_key_id": "1",
        "private_key": pem,
        "client_email": "tests@tests.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    }


@pytest.fixture(scope="session")
def azure() -> Iterator[dict[str, Any]]:
    """Configuration of a mount of a container of azurite."""
    needed(find_spec("adlfs"), "adlfs is missing: pip install -r requirements-clouds.txt")
    program = shutil.which("azurite-blob")
    needed(program, "azurite is missing: npm install --global azurite")
    port = free_port()
    command = [str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    command += ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    accounts = f"{_AZURE_ACCOUNT}:{_AZURE_KEY}"
    with serving(f"http://127.0.0.1:{port}", command, AZURITE_ACCOUNTS=accounts) as url:
        parts = {
            "DefaultEndpointsProtocol": "http",
            "AccountName": _AZURE_ACCOUNT,
            "AccountKey": _AZURE_KEY,
            "BlobEndpoint": f"{url}/{_AZURE_ACCOUNT}",
        }
        connection = ";".join(f"{name}={value}" for name, value in parts.items())
        make_container(connection)
        yield {"container": "files", "prefix": "mail", "connection_string": connection}


def make_container(connection: str) -> None:
    from azure.storage.blob import BlobServiceClient

    with BlobServiceClient.from_connection_string(connection) as client:
        client.create_container("files")


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, Any]]:
    """Protocol and configuration of a mount, by the protocol that the test names."""
    protocol: str = request.param
    if protocol == "local":
        return protocol, {"base_path": str(tmp_path / "files")}
    if protocol == "memory":
        return protocol, {}
    return protocol, json.loads(json.dumps(request.getfixturevalue(protocol)))
