"""Clients that send too much, too slowly, or what is no HTTP"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from tests.harness.command_line import CommandLine

from mail_proxy.cli.process import Running


@pytest.fixture
def running(mail_proxy: CommandLine) -> Iterator[Running]:
    impatient = {"GMP_REQUEST_TIMEOUT": "1"}
    done = mail_proxy("start", "dev", "--port", "0", "--background", **impatient)
    assert done.returncode == 0, done.stderr
    yield mail_proxy.ready("dev")


def talk(running: Running, *pieces: bytes) -> tuple[int, Any]:
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


def status(running: Running, *pieces: bytes) -> int:
    code, answer = talk(running, *pieces)
    assert (answer["ok"], answer["detail"]) == (False, None)
    assert answer["error"]
    return code


def test_a_head_that_does_not_come_is_not_waited_for(running: Running) -> None:
    assert status(running) == 408
    assert status(running, b"GET /health HTTP/1.1\r\nHost: x\r\n") == 408
    answered = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with closing(socket.create_connection(("127.0.0.1", running.port), timeout=20)) as connection:
        connection.sendall(answered)
        assert b" 200 OK" in whole_answer(connection)
        connection.sendall(b"GET /hea")
        assert b" 408 " in whole_answer(connection)
        assert connection.recv(65536) == b""


def test_a_body_that_does_not_come_is_not_waited_for(
    running: Running, mail_proxy: CommandLine
) -> None:
    token = (mail_proxy.instance("dev").token() or "").encode()
    head = b"POST /account HTTP/1.1\r\nHost: localhost\r\nX-API-Token: %b\r\n" % token
    head += b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    assert status(running, head, b"{") == 408


def test_a_stranger_is_refused_before_the_body_is_read(running: Running) -> None:
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
def test_a_head_that_is_too_large_is_431(running: Running, head: bytes) -> None:
    assert status(running, head) == 431


def test_what_is_no_http_is_400(running: Running) -> None:
    assert status(running, b"\x16\x03\x01\x00\xa5") == 400
