"""A database that is full, damaged, or locked by a stopped process: the service says so"""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.harness.command_line import CommandLine, wait_for
from tests.harness.proxy import Launch, ProxyProcess
from tests.harness.rig import small_rig
from tests.harness.running import delivering

from mail_proxy.cli.instance import Instance
from mail_proxy.cli.process import Running

_PAGE_BYTES = 4096
_MARK = "a text that is found in the file"
SHUTDOWN_SECONDS = 5
SETTINGS = {"GMP_SHUTDOWN_TIMEOUT": str(SHUTDOWN_SECONDS)}
ACCOUNT = {"id": "smtp", "host": "127.0.0.1", "port": 1}


class Service:
    """A running instance and its client."""

    def __init__(self, instance: Instance, running: Running) -> None:
        self.instance = instance
        self.pid = running.pid
        headers = {"X-API-Token": instance.token() or ""}
        self._http = httpx.Client(base_url=running.url, headers=headers, timeout=60)

    def __call__(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self._http.request(method, path, json=body)

    def add(self, id_: str, body: str = _MARK) -> httpx.Response:
        mail = {"id": id_, "from": "a@example.org", "to": "b@example.net", "body": body}
        return self("POST", "/commands/add-messages", {"messages": [{**mail, "subject": "s"}]})

    def ready(self) -> tuple[int, str | None]:
        answer = self("GET", "/ready")
        return answer.status_code, answer.json().get("error")

    def lines(self, action: str) -> list[str]:
        text = self.instance.log_file.read_text().splitlines()
        return [line for line in text if f"action={action} " in line]

    def close(self) -> None:
        self._http.close()


@contextmanager
def started(mail_proxy: CommandLine) -> Iterator[Service]:
    done = mail_proxy("start", "shop", "--port", "0", "--background")
    assert done.returncode == 0, done.stderr
    service = Service(mail_proxy.instance("shop"), mail_proxy.ready("shop"))
    with closing(service):
        yield service


@pytest.fixture
def filled(mail_proxy: CommandLine) -> Path:
    """The database of a stopped instance with a message."""
    with started(mail_proxy) as service:
        assert service("POST", "/account", ACCOUNT).status_code == 200
        assert service.add("first").json()["queued"] == 1
    assert mail_proxy("stop", "shop").returncode == 0
    return mail_proxy.instance("shop").database


def test_a_disk_that_is_full_is_a_503_with_its_reason_until_there_is_room(
    mail_proxy: CommandLine,
) -> None:
    with started(mail_proxy) as service:
        assert service("POST", "/account", ACCOUNT).status_code == 200
        assert service.ready() == (200, None)
        # As a disk without room for what comes: no file of the process grows beyond this.
        files = service.instance.folder.glob("mail_service.db*")
        most = max(file.stat().st_size for file in files) + _PAGE_BYTES
        _, hard = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (most, hard))
        for number in range(3):
            refused = service.add(f"large-{number}", "x" * 2_000_000)
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
            status, reason = service.ready()
            assert status == 503
            assert reason
        assert service("GET", "/health").status_code == 200
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (hard, hard))
        wait_for(lambda: service.ready() == (200, None) or None)
        assert service.add("later").status_code == 200
        assert len(service.lines("database.unavailable")) == 1
        assert len(service.lines("database.available")) == 1
        assert "request.unavailable" not in service.instance.log_file.read_text()


def test_damage_in_the_middle_of_the_file_is_a_503_with_its_reason(
    mail_proxy: CommandLine, filled: Path
) -> None:
    with started(mail_proxy) as service:
        content = filled.read_bytes()
        page = content.index(_MARK.encode()) // _PAGE_BYTES
        with filled.open("r+b") as file:
            file.seek(page * _PAGE_BYTES)
            file.write(b"\xff" * _PAGE_BYTES)
        for _ in range(3):
            answer = service("GET", "/messages/first")
            assert answer.status_code == 503
            assert "mail_service" not in answer.text
            assert service.ready() == (503, "the database is damaged")
        (line,) = service.lines("database.unavailable")
        assert "mail_service.db is damaged" in line
        assert ".recover" in line
        assert "Traceback" not in service.instance.log_file.read_text()


@pytest.mark.parametrize("damage", ["head", "half"])
def test_a_start_with_a_damaged_file_says_what_to_do(
    mail_proxy: CommandLine, filled: Path, damage: str
) -> None:
    if damage == "head":
        with filled.open("r+b") as file:
            file.write(b"no database at all")
    else:
        os.truncate(filled, filled.stat().st_size // 2)
    done = mail_proxy("start", "shop", "--port", "0")
    assert done.returncode == 1
    assert f"{filled} is damaged (" in done.stderr
    assert "restore a backup" in done.stderr
    assert ".recover" in done.stderr
    assert "Traceback" not in done.stderr


def is_locked(database: Path) -> bool:
    with closing(sqlite3.connect(database, timeout=0.3, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.execute("ROLLBACK")
        return False


def stop_inside_a_transaction(proxy: ProxyProcess, database: Path) -> int:
    """Stop the delivering process while it holds the write lock; return its id."""
    (worker,) = delivering(proxy.pid)
    for _ in range(1000):
        os.kill(worker, signal.SIGSTOP)
        if is_locked(database):
            return worker
        os.kill(worker, signal.SIGCONT)
    raise AssertionError("the delivering process was never seen inside a transaction")


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["continue", "kill", "stop"])
def test_a_stopped_process_that_holds_the_write_lock_stops_nothing_for_good(ending: str) -> None:
    total = 3000
    with small_rig(launch=Launch(workers=1)) as rig, rig.recording_sink() as sink:
        home = rig.new_directory("home")
        with rig.proxy(home=home, settings=SETTINGS) as proxy:
            proxy.add_account(sink.port)
            rig.queue(proxy, "m", total)
            worker = stop_inside_a_transaction(proxy, home / "bench" / "mail_service.db")
            path = "/commands/retry-messages"
            refused = proxy.try_request("POST", path, b'{"ids": ["m-0000001"]}')
            assert (refused.status, int(refused.retry_after) > 0) == (503, True)
            ready = proxy.try_request("GET", "/ready")
            assert ready.status == 503
            assert b"another process holds a lock in the database" in ready.body
            assert proxy.try_request("GET", "/health").status == 200
            if ending == "stop":
                # As `mail-proxy stop`: shutdown_timeout and ten seconds.
                assert proxy.terminate(SHUTDOWN_SECONDS + 10) == 0
                return
            os.kill(worker, signal.SIGCONT if ending == "continue" else signal.SIGKILL)
            wait_for(lambda: proxy.try_request("GET", "/ready").status == 200 or None)
            proxy.wait_until_idle(60)
            assert sink.count() >= total
