"""mail-proxy NAME backup FILE, and mail-proxy restore NAME FILE"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from tests.harness.command_line import CommandLine, CompletedCommand
from tests.harness.postgres import find_binaries
from tests.harness.running import Post, mail, running

from mail_proxy.cli.instance import Instance
from mail_proxy.operations import service
from mail_proxy.operations.callers import Caller
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.wire.service import StatusQuery

_SENT = ["sent-1", "sent-2", "sent-3"]
#: All messages that wait are in one answer.
_MOST_PAIRS = 400
_REST = [f"rest-{number}" for number in range(20)]


class Machine:
    """A machine with the instance ``shop``; ``new_database`` is for a copy on PostgreSQL."""

    def __init__(self, command: CommandLine, database_url: str, new_database: str | None) -> None:
        self.command = command
        self.backup = command.home.parent / "shop.tar.gz"
        self.shop = command.instance("shop")
        self.environ = {"PATH": f"{find_binaries()}:{os.environ['PATH']}"} if new_database else {}
        self.new_url = new_database
        self.shop.create(command.environ)
        self.shop.remembered_database.remember(
            database_url if new_database else str(self.shop.database)
        )

    def __call__(self, *words: str) -> CompletedCommand:
        done = self.command(*words, **self.environ)
        assert "Traceback" not in done.stderr
        return done

    def make_backup(self, *words: str) -> CompletedCommand:
        made = self("shop", "backup", str(self.backup), *words)
        assert made.returncode == 0, made.stderr
        return made

    def restore(self, name: str, *words: str) -> Instance:
        place = ["--database-url", self.new_url] if self.new_url else []
        restored = self("restore", name, str(self.backup), *place, *words)
        assert restored.returncode == 0, restored.stderr
        return self.command.instance(name)

    @asynccontextmanager
    async def run(self, instance: Instance) -> AsyncIterator[Post]:
        """Run the instance inside the test."""
        config = instance.load_config(None, self.command.environ).config
        async with running(config) as post:
            yield post


@pytest.fixture
def machine(
    mail_proxy: CommandLine, database_url: str, request: pytest.FixtureRequest
) -> Iterator[Machine]:
    if database_url.startswith("sqlite"):
        yield Machine(mail_proxy, database_url, None)
        return
    server: str = request.getfixturevalue("postgres")
    name = f"copy_{os.getpid()}_{time.monotonic_ns()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield Machine(mail_proxy, database_url, f"{server.rsplit('/', 1)[0]}/{name}")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


async def _add_pairs(post: Post, ended: asyncio.Event) -> None:
    """Add pairs of messages that wait until tomorrow, one call for each, until ``ended``."""
    number = 0
    while not ended.is_set() and number < _MOST_PAIRS:
        later = {"batch_code": f"pair-{number}", "deferred_ts": time.time() + 86_400}
        await post.add(*(mail(f"pair-{number}-{half}", **later) for half in "ab"))
        number += 1


async def _waiting(post: Post) -> list[dict[str, Any]]:
    found = await post.proxy.handle_command("listMessages", {"limit": 1000, "status": "pending"})
    return list(found["messages"])


async def test_a_restored_copy_sends_the_rest_exactly_once_and_nothing_while_it_is_held(
    machine: Machine,
) -> None:
    async with ScriptedSmtpServer() as server:
        async with machine.run(machine.shop) as post:
            await post.account(server)
            await post.add(*(mail(id_) for id_ in _SENT))
            await post.reports.sent(*_SENT)
            await post.proxy.handle_command("suspend")
            await post.add(*(mail(id_) for id_ in _REST))
            ended = asyncio.Event()
            adding = asyncio.create_task(_add_pairs(post, ended))
            await asyncio.to_thread(machine.make_backup)
            ended.set()
            await adding
            state = await post.proxy.handle_command("activate")
            assert state["ok"]
            await post.reports.sent(*_REST)
        assert len(server.accepted) == len(_SENT) + len(_REST)
        server.accepted.clear()

        copy = await asyncio.to_thread(machine.restore, "copy", "--held")
        shutil.copy(machine.shop.key_file, copy.key_file)
        async with machine.run(copy) as post:
            waiting = await _waiting(post)
            pairs = [m["batch_code"] for m in waiting if m["batch_code"]]
            assert sorted(m["id"] for m in waiting if not m["batch_code"]) == sorted(_REST)
            assert all(pairs.count(code) == 2 for code in pairs)
            # A tenant that the backup does not know is not held: its mail shows that the
            # dispatcher of the copy works.
            await post.tenant("new")
            await post.account(server, tenant_id="new")
            await post.run_now()
            await post.add(mail("probe"), tenant_id="new")
            await post.reports.sent("probe")
            assert [_subject(m.data) for m in server.accepted] == ["About probe"]
            await post.proxy.handle_command("activate", {"tenant_id": "default"})
            await post.reports.sent(*_REST)
            sent = sorted(_subject(m.data) for m in server.accepted)
            assert sent == sorted(f"About {id_}" for id_ in [*_REST, "probe"])


def _subject(data: bytes) -> str:
    line = next(line for line in data.splitlines() if line.startswith(b"Subject: "))
    return line.removeprefix(b"Subject: ").decode()


async def test_a_backup_with_the_key_is_all_that_a_new_machine_needs(machine: Machine) -> None:
    kept = machine.shop.folder / "files" / "a" / "large.pdf"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"large")
    settings = machine.shop.config_file.read_text()
    secret = '[client_sync]\npassword = "the-sync-secret"\n'
    machine.shop.config_file.write_text(settings.replace("[client_sync]\n", secret, 1))
    async with machine.run(machine.shop) as post:
        await post.account(9, user="ann", password="the-password")
        shown = await asyncio.to_thread(machine.make_backup, "--with-key", "--json")
        described = json.loads(shown.stdout)
        status = await post.proxy.door.call(service.status, Caller(None), StatusQuery(full=True))
    assert described["has_key"] is True
    assert status.last_backup_ts == described["made_ts"]
    assert machine.backup.stat().st_mode & 0o777 == 0o600
    token = machine.shop.token()
    copy = await asyncio.to_thread(machine.restore, "copy", "--json")
    assert (copy.token(), copy.key_file.read_bytes()) == (token, machine.shop.key_file.read_bytes())
    assert (copy.folder / "files" / "a" / "large.pdf").read_bytes() == b"large"
    assert "the-sync-secret" in copy.config_file.read_text()
    for path in copy.folder.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    async with machine.run(copy) as post:
        (account,) = (await post.proxy.handle_command("listAccounts"))["accounts"]
        assert account["password"] == "********"


async def test_a_restore_refuses_what_would_lose_messages(machine: Machine) -> None:
    key = machine.shop.key_file.read_bytes()
    async with machine.run(machine.shop) as post:
        await post.account(9)
        await post.add(mail("first", deferred_ts=time.time() + 86_400))
    machine.make_backup()
    again = machine("restore", "shop", str(machine.backup))
    assert (again.returncode, "--force replaces it" in again.stderr) == (1, True)
    with machine.shop.pid_file.hold():
        while_starting = machine("restore", "shop", str(machine.backup), "--force")
        assert while_starting.returncode == 1
    replaced = machine.restore("shop", "--force")
    assert replaced.key_file.read_bytes() == key
    async with machine.run(replaced) as post:
        assert [m["id"] for m in await _waiting(post)] == ["first"]
    if "PATH" in machine.environ:
        full = machine("restore", "other", str(machine.backup), "--database-url", machine.new_url)
        assert "is not empty" in full.stderr
        nowhere = machine("restore", "other", str(machine.backup))
        assert (nowhere.returncode, "--database-url" in nowhere.stderr) == (2, True)
    else:
        url = ("--database-url", "postgresql://nobody@127.0.0.1/x")
        other = machine("restore", "other", str(machine.backup), *url)
        assert (other.returncode, "backup of a SQLite database" in other.stderr) == (2, True)
    assert not machine.command.instance("other").exists()
