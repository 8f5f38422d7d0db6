"""Clients that send too much, too slowly, or bytes that are not HTTP"""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.harness.command_line import CommandLine, wait_for
from tests.harness.hostile import ATTACKS, Attacker, Watch
from tests.harness.processes import free_port

_TOKEN = "admin-token"
_IMPATIENT = {"GMP_REQUEST_TIMEOUT": "1", "GMP_API_TOKEN": _TOKEN}
_UVICORN = (sys.executable, "-m", "uvicorn", "mail_proxy.server:app")


@dataclass(frozen=True)
class Service:
    """A process that serves, and the file that it logs to."""

    port: int
    pid: int
    log_file: Path

    def log(self) -> str:
        return self.log_file.read_text()

    def is_listening(self) -> bool | None:
        with closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0 or None


@contextmanager
def under_mail_proxy(folder: Path, **environ: str) -> Iterator[Service]:
    """``mail-proxy start``"""
    mail_proxy = CommandLine(folder)
    done = mail_proxy("start", "dev", "--port", "0", "--background", **_IMPATIENT, **environ)
    assert done.returncode == 0, done.stderr
    running = mail_proxy.ready("dev")
    yield Service(running.port, running.pid, mail_proxy.instance("dev").log_file)
    mail_proxy.end_everything()


@contextmanager
def under_uvicorn(folder: Path, host: str = "127.0.0.1", **environ: str) -> Iterator[Service]:
    """``uvicorn mail_proxy.server:app``, as its documentation starts it"""
    log_file = folder / "log"
    settings = {**_IMPATIENT, "GMP_DB_PATH": str(folder / "mail.db"), **environ}
    port = free_port()
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*_UVICORN, "--host", host, "--port", str(port)],
            env={k: v for k, v in os.environ.items() if not k.startswith("GMP_")} | settings,
            stderr=log,
            stdout=log,
        )
    service = Service(port, process.pid, log_file)
    try:
        wait_for(service.is_listening)
        yield service
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module", params=[under_mail_proxy, under_uvicorn], ids=lambda f: f.__name__)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with request.param(tmp_path_factory.mktemp("hostile")) as service:
        yield service


_POST = b"POST /account HTTP/1.1\r\nHost: localhost\r\nX-API-Token: %b\r\n" % _TOKEN.encode()


def talk(running: Service, *pieces: bytes) -> tuple[int, Any]:
    """Send the pieces; status and JSON of the answer, after which the connection is closed."""
    with closing(socket.create_connection(("127.0.0.1", running.port), timeout=20)) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the answer is there already
        received = b""
        try:
            while data := connection.recv(65536):
                received += data
        except ConnectionResetError:
            pass
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"x-request-id: " in head.lower()
    return int(head.split()[1]), json.loads(body)


def whole_answer(connection: socket.socket) -> bytes:
    """Head and JSON, which may come one after the other."""
    received = b""
    while not received.endswith(b"}"):
        data = connection.recv(65536)
        assert data, received
        received += data
    return received


def status(running: Service, *pieces: bytes) -> int:
    code, answer = talk(running, *pieces)
    assert (answer["ok"], answer["detail"]) == (False, None)
    assert answer["error"]
    return code


def test_a_head_that_does_not_come_is_not_waited_for(running: Service) -> None:
    assert status(running) == 408
    assert status(running, b"GET /health HTTP/1.1\r\nHost: x\r\n") == 408
    answered = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with closing(socket.create_connection(("127.0.0.1", running.port), timeout=20)) as connection:
        connection.sendall(answered)
        assert b" 200 OK" in whole_answer(connection)
        connection.sendall(b"GET /hea")
        assert b" 408 " in whole_answer(connection)
        assert connection.recv(65536) == b""


def test_a_body_that_does_not_come_is_not_waited_for(running: Service) -> None:
    head = _POST + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    assert status(running, head, b"{") == 408


def test_a_stranger_is_refused_before_the_body_is_read(running: Service) -> None:
    head = b"POST /account HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    assert status(running, head + b"Content-Length: 1000\r\n\r\n") == 401


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 2_000_000,
        b"GET /health HTTP/1.1\r\n" + b"X-Many: x\r\n" * 200_000,
        b"GET /" + b"x" * 2_000_000,
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: x\r\n" * 200 + b"\r\n",
    ],
    ids=["one long header", "many headers", "a long path", "just too long", "just too many"],
)
def test_a_head_that_is_too_large_is_431(running: Service, head: bytes) -> None:
    assert status(running, head) == 431


def test_what_is_no_http_is_400(running: Service) -> None:
    assert status(running, b"\x16\x03\x01\x00\xa5") == 400


def test_attacks_hinder_no_other_client(running: Service) -> None:
    for name, attack in ATTACKS.items():
        watch, attacker = Watch(running.port, running.pid), Attacker(running.port)
        with closing(attacker), watch.during():
            attack(attacker)
        assert watch.is_within_bounds, (name, watch)


@pytest.mark.parametrize(
    "pieces",
    [
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: " + b"x" * 100_000),
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: x\r\n" * 10_000),
        (b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 100_000),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 50_000),
    ],
    ids=["a long trailer", "many trailers", "a chunk extension", "chunks of one byte"],
)
def test_the_framing_of_a_body_is_bounded(running: Service, pieces: tuple[bytes, ...]) -> None:
    assert status(running, _POST, *pieces) == 431


def drip(running: Service, head: bytes, byte: bytes) -> None:
    """Send one byte after another until the connection is closed, which has to happen."""
    with closing(socket.create_connection(("127.0.0.1", running.port), timeout=20)) as connection:
        connection.sendall(head)
        connection.settimeout(0.1)
        for _ in range(200):
            with suppress(TimeoutError):
                if connection.recv(65536) == b"":
                    return
            connection.sendall(byte)
    raise AssertionError("the service still reads")


@pytest.mark.parametrize(
    ("head", "byte"),
    [
        (b"GET /health HTTP/1.1\r\nHost: x\r\nX: ", b"x"),
        (b"POST /account HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n", b"x"),
        (b"POST /account HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n", b"x"),
        (b"POST /account HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (_POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["head", "short rest after 401", "long rest", "chunks after 401", "body with a token"],
)
def test_a_request_does_not_drip_for_ever(running: Service, head: bytes, byte: bytes) -> None:
    with suppress(ConnectionError):
        drip(running, head, byte)


def test_a_content_length_of_thousands_of_digits_is_no_fault(running: Service) -> None:
    for digits, code in ((b"0" * 5000 + b"1", 422), (b"9" * 5000, 400), (b"9" * 18, 413)):
        head = b"Content-Type: application/json\r\nConnection: close\r\nContent-Length: " + digits
        assert talk(running, _POST + head + b"\r\n\r\n", b"1")[0] == code


def test_an_offer_to_upgrade_is_ignored(running: Service) -> None:
    before = running.log()
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n"
    get = b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + offer + b"\r\n"
    with closing(socket.create_connection(("127.0.0.1", running.port), timeout=20)) as connection:
        for _ in range(2):
            connection.sendall(get)
            assert b" 200 OK" in whole_answer(connection)
    for framing in (
        b"Content-Length: 2\r\n\r\n{}",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ):
        head = _POST + offer + b"Content-Type: application/json\r\n"
        code, answer = talk(running, head + framing)
        assert (code, answer["detail"][0]["field"]) == (422, "id")
    assert status(running, _POST + offer + b"Transfer-Encoding: gzip\r\n\r\n") == 400
    assert "library.said" not in running.log().removeprefix(before)


def test_a_call_that_is_broken_off_is_no_fault_of_the_proxy(running: Service) -> None:
    before = running.log()

    def is_counted() -> bool | None:
        with closing(socket.create_connection(("127.0.0.1", running.port))) as connection:
            connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            metrics = b"".join(iter(lambda: connection.recv(65536), b""))
        return b'status="499"' in metrics or None

    json_head = b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    with closing(socket.create_connection(("127.0.0.1", running.port), timeout=20)) as connection:
        connection.sendall(_POST + json_head + b"{")
    wait_for(is_counted)
    assert "ERROR" not in running.log().removeprefix(before)


def test_connections_beyond_the_limit_are_closed_and_logged(tmp_path: Path) -> None:
    with under_mail_proxy(tmp_path, GMP_MAX_CONNECTIONS="10") as service:
        watch, attacker = Watch(service.port, service.pid), Attacker(service.port)
        with closing(attacker):
            attacker.idle(50)
            for _ in range(20):
                watch.ask()
        assert service.log().count("action=connections.shed") == 1


def test_a_lack_of_descriptors_is_logged_once_and_passes(tmp_path: Path) -> None:
    with under_mail_proxy(tmp_path) as service:
        watch, attacker = Watch(service.port, service.pid), Attacker(service.port)
        used = len(list(Path(f"/proc/{service.pid}/fd").iterdir()))
        limits = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (used + 20, limits[1]))
        with closing(attacker):
            attacker.idle(60)
            wait_for(lambda: "action=descriptors.short" in service.log() or None)
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, limits)
        watch.ask()
        assert service.log().count("action=descriptors.short") == 1


def test_only_addresses_are_believed_to_be_clients(running: Service) -> None:
    head = b"GET /tenants HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Forwarded-For: "
    assert status(running, head + b"192.0.2.77\r\n\r\n") == 401
    # 429 if other tests have failed to log in from this machine within the last minute.
    assert status(running, head + b"nobody-at-all\r\n\r\n") in (401, 429)
    wait_for(lambda: "address=127.0.0.1" in running.log() or None)
    assert "address=192.0.2.77" in running.log()
    assert "nobody-at-all" not in running.log()


@pytest.mark.parametrize(("host", "is_refused"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_uvicorns_own_host_decides_whether_loopback_is_an_inner_network(
    tmp_path: Path, host: str, is_refused: bool
) -> None:
    def call(running: Service, path: str, token: str, body: Any = None) -> Any:
        data = json.dumps(body).encode() if body else b""
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Token: {token}\r\n"
        head += "Content-Type: application/json\r\n"
        head += f"Connection: close\r\nContent-Length: {len(data)}\r\n\r\n"
        return talk(running, head.encode() + data)[1]

    with under_uvicorn(tmp_path, host) as running:
        key = call(running, "/tenant", _TOKEN, {"id": "acme"})["api_key"]
        call(running, "/account", key, {"id": "a", "host": "127.0.0.1", "port": free_port()})
        found = call(running, "/account/a/test", key)
    assert ("GMP_ALLOW_PRIVATE_NETWORKS" in str(found)) is is_refused
