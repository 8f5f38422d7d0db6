"""Submission while the service is killed: every 250 is in the queue, once."""

from __future__ import annotations

import base64
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.harness.processes import free_port
from tests.harness.rig import Rig, small_rig

pytestmark = pytest.mark.slow
SESSIONS = 4
ENOUGH = 200


@pytest.fixture
def rig() -> Iterator[Rig]:
    with small_rig() as rig:
        yield rig


class Client(threading.Thread):
    """Session that hands in mails with ids of their own, and notes each 250."""

    def __init__(self, name: str, port: int, login: bytes) -> None:
        super().__init__(name=name, daemon=True)
        self.accepted: list[str] = []
        self._port = port
        self._login = login

    def run(self) -> None:
        with suppress(OSError, EOFError):
            self._work()

    def _work(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
            answers = connection.makefile("rb")

            def say(line: bytes, expected: bytes) -> None:
                connection.sendall(line)
                while True:
                    answer = answers.readline()
                    if not answer:
                        raise EOFError
                    if answer[3:4] != b"-":
                        break
                if not answer.startswith(expected):
                    raise EOFError(answer)

            say(b"", b"220")
            say(b"EHLO client\r\n", b"250")
            say(b"AUTH PLAIN " + self._login + b"\r\n", b"235")
            while True:
                id_ = f"{self.name}-{len(self.accepted)}"
                say(b"MAIL FROM:<a@example.org>\r\n", b"250")
                say(b"RCPT TO:<b@example.net>\r\n", b"250")
                say(b"DATA\r\n", b"354")
                header = f"X-Genro-Id: {id_}\r\nFrom: a@example.org\r\nSubject: s\r\n"
                say(f"{header}\r\nbody\r\n.\r\n".encode(), b"250")
                self.accepted.append(id_)


def test_every_250_is_in_the_queue_once_after_kill_9(rig: Rig, tmp_path: Path) -> None:
    port = free_port()
    settings = {"GMP_SMTP_LISTEN": f"127.0.0.1:{port}", "GMP_SCHEDULER_ACTIVE": "false"}
    accepted: list[str] = []
    home = rig.new_directory("home")
    with rig.proxy(home=home, settings=settings) as proxy:
        key = proxy.request("POST", "/tenant", b'{"id": "acme"}')["api_key"]
        account = b'{"id": "smtp", "tenant_id": "acme", "host": "127.0.0.1", "tls": "none"}'
        proxy.request("POST", "/account", account)
        login = base64.b64encode(f"\0acme\0{key}".encode())
        clients = [Client(f"c{number}", port, login) for number in range(SESSIONS)]
        for client in clients:
            client.start()
        deadline = time.monotonic() + 120
        while sum(len(client.accepted) for client in clients) < ENOUGH:
            assert time.monotonic() < deadline, "the clients get no answers"
            time.sleep(0.01)
        proxy.kill()
        for client in clients:
            client.join(60)
            accepted += client.accepted
    assert len(accepted) == len(set(accepted)) >= ENOUGH
    (database,) = home.rglob("mail_service.db")
    with sqlite3.connect(database) as connection:
        stored = [row[0] for row in connection.execute("SELECT id FROM message")]
    assert len(stored) == len(set(stored))
    assert set(accepted) <= set(stored)
    # At most one mail of each session was stored, and its answer lost.
    assert len(stored) <= len(accepted) + SESSIONS
