"""mail-proxy NAME keys rotate"""

from __future__ import annotations

import asyncio
import base64
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.harness.command_line import CommandLine
from tests.scenarios import rotation_killed

from mail_proxy import MailProxy
from mail_proxy.encryption import KEY_VARIABLE, generate_key
from mail_proxy.sql import SqlDb
from mail_proxy.sql.keys import key_matches
from mail_proxy.sql.table import EVERY_TENANT
from mail_proxy.sql.tables import Tables

PASSWORD = "the stored password"


class Shop:
    """The instance ``shop`` with one account whose password is stored."""

    def __init__(self, mail_proxy: CommandLine, database_url: str, **environ: str) -> None:
        self.mail_proxy = mail_proxy
        self.environ = environ
        self.instance = mail_proxy.instance("shop")
        self.database_url = database_url
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            asyncio.run(self._prepare())

    @property
    def pending(self) -> Path:
        return self.instance.folder / "encryption_key.new"

    def start(self, *words: str, **environ: str) -> None:
        words = ("start", "shop", "--port", "0", "--background", *words)
        started = self.mail_proxy(*words, **{**self.environ, **environ})
        assert started.returncode == 0, started.stderr

    def stop(self) -> None:
        assert self.mail_proxy("stop", "shop").returncode == 0

    async def _prepare(self) -> None:
        """Do here what a first start, a call and a stop would do in three processes."""
        environ = {**self.mail_proxy.environ, **self.environ}
        self.instance.create(environ)
        config = self.instance.load_config({"db_path": self.database_url}, environ).config
        self.instance.remembered_database.remember(config.db_path)
        account = {"id": "a", "host": "127.0.0.1", "port": 9, "user": "u", "password": PASSWORD}
        async with await MailProxy.create(config) as proxy:
            assert (await proxy.handle_command("addAccount", account))["ok"]

    def rotate(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return self.mail_proxy("shop", "keys", "rotate", *words, **{**self.environ, **environ})

    def opens_with(self, key: bytes) -> bool:
        """Whether the stored password is what was saved, with this key."""
        db = SqlDb(self.database_url)
        try:
            rows = db.read_now(
                lambda c: Tables.of(db, key).accounts.select(c, tenant_id=EVERY_TENANT)
            )
            return bool(db.read_now(key_matches, key)) and [r["password"] for r in rows] == [
                PASSWORD
            ]
        finally:
            db.dispose()


@pytest.fixture
def shop(mail_proxy: CommandLine, database_url: str) -> Shop:
    return Shop(mail_proxy, database_url)


def test_a_rotated_key_opens_everything_and_the_instance_starts_with_it(shop: Shop) -> None:
    old = shop.instance.key_file.read_bytes()
    rotated = shop.rotate()
    assert rotated.returncode == 0, rotated.stderr
    assert "2 values are encrypted with the new key" in rotated.stderr
    new = shop.instance.key_file.read_bytes()
    assert new != old
    assert shop.instance.key_file.stat().st_mode & 0o777 == 0o600
    assert (shop.opens_with(old), shop.opens_with(new)) == (False, True)
    assert not shop.pending.exists()
    shop.start()
    assert shop.rotate().returncode == 1
    assert "is running" in shop.rotate().stderr
    assert shop.instance.key_file.read_bytes() == new


@pytest.mark.parametrize(
    ("step", "rotated"),
    [
        ("begun", False),
        ("prepared", False),
        ("in the transaction", False),
        ("committed", True),
        ("finished", True),
    ],
)
def test_a_rotation_that_is_killed_leaves_an_instance_that_starts(
    step: str, rotated: bool, shop: Shop
) -> None:
    old = shop.instance.key_file.read_bytes()
    killed = subprocess.run(
        [sys.executable, rotation_killed.__file__, "shop", step],
        env=shop.mail_proxy.environ,
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert shop.opens_with(old) is not rotated
    shop.start()
    shop.stop()
    now = shop.instance.key_file.read_bytes()
    assert (now != old) is rotated
    assert shop.opens_with(now)
    again = shop.rotate()
    assert again.returncode == 0, again.stderr
    assert shop.opens_with(shop.instance.key_file.read_bytes())
    assert not shop.pending.exists()


def test_a_key_that_was_brought_is_used(shop: Shop, tmp_path: Path) -> None:
    key = tmp_path / "mine"
    key.write_bytes(b"k" * 32)
    assert shop.rotate("--new-key-file", str(key)).returncode == 0
    assert shop.instance.key_file.read_bytes() == b"k" * 32
    text = generate_key()
    assert shop.rotate("--new-key-env", "NEXT", NEXT=text).returncode == 0
    assert shop.instance.key_file.read_bytes() == base64.b64decode(text)
    assert shop.opens_with(base64.b64decode(text))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_cannot_be_a_new_key_is_refused_and_not_shown(shop: Shop, tmp_path: Path) -> None:
    before = shop.instance.key_file.read_bytes()
    short = tmp_path / "short"
    short.write_bytes(b"k" * 31)
    for words, environ, why in (
        (["--new-key-file", str(short)], {}, "short holds 31 bytes"),
        (["--new-key-file", str(tmp_path / "none")], {}, "does not exist"),
        (["--new-key-file", str(shop.instance.key_file)], {}, "the new key is the old one"),
        (["--new-key-env", "NEXT"], {}, "NEXT is not set"),
        (["--new-key-env", "NEXT"], {"NEXT": "not-a-key"}, "NEXT is not base64 of 32 bytes"),
        (["--new-key-env", "NEXT", "--new-key-file", str(short)], {}, "cannot be used together"),
    ):
        refused = shop.rotate(*words, **environ)
        assert refused.returncode != 0
        assert why in refused.stderr
        assert "not-a-key" not in refused.stderr
    shop.instance.key_file.write_bytes(bytes(32))
    assert "is not the one this database was written with" in shop.rotate().stderr
    assert shop.opens_with(before)
    missing = shop.mail_proxy("none", "keys", "rotate")
    assert missing.returncode == 1
    assert "no instance 'none'" in missing.stderr


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_key_of_the_environment_is_replaced_by_whoever_sets_it(
    mail_proxy: CommandLine, database_url: str
) -> None:
    old = generate_key()
    shop = Shop(mail_proxy, database_url, **{KEY_VARIABLE: old})
    assert not shop.instance.key_file.exists()
    rotated = shop.rotate()
    assert rotated.returncode == 0, rotated.stderr
    assert f"export {KEY_VARIABLE}=$(base64 -w0 {shop.pending})" in rotated.stderr
    new = shop.pending.read_bytes()
    assert shop.opens_with(new)

    shop.start()  # with the old one in the environment still
    assert "action=key.outdated" in shop.instance.log_file.read_text()
    shop.stop()
    refused = shop.rotate()
    assert refused.returncode == 1
    assert "still the key from before the last rotation" in refused.stderr
    assert shop.pending.read_bytes() == new

    shop.environ = {KEY_VARIABLE: base64.b64encode(new).decode()}
    shop.pending.unlink()
    shop.start()
    shop.stop()
    brought = generate_key()
    rotated = shop.rotate("--new-key-env", "NEXT", NEXT=brought)
    assert rotated.returncode == 0, rotated.stderr
    assert not shop.pending.exists()
    assert shop.opens_with(base64.b64decode(brought))
    with pytest.raises(AssertionError, match="is not the one"):
        shop.start()
    shop.start(**{KEY_VARIABLE: brought})
