"""The file of a backup: what is in it, and what is refused when it is read."""

from __future__ import annotations

import io
import os
import tarfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from mail_proxy.cli.archive import (
    Manifest,
    new_archive,
    opened_archive,
    portable_config,
    unpack,
)
from mail_proxy.errors import Conflict, MailProxyError, Malformed

_MANIFEST = Manifest("shop", "sqlite", "0019", "1.0", 1_790_000_000, False)


def _made(path: Path) -> Path:
    with new_archive(path, _MANIFEST) as new:
        new.text("config.toml", "host = '127.0.0.1'\n")
    return path


def test_an_archive_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "files" / "deep").mkdir(parents=True)
    (tmp_path / "files" / "deep" / "a b.pdf").write_bytes(b"pdf")
    (tmp_path / "files" / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "files" / "pipe")
    with new_archive(tmp_path / "b", _MANIFEST) as new:
        new.folder("files", tmp_path / "files")
        new.file("token", tmp_path / "missing")
    with opened_archive(tmp_path / "b") as (manifest, tar):
        assert manifest == _MANIFEST
        unpack(tar, tmp_path / "out")
    found = [p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert found == [Path("files/deep/a b.pdf")]


def test_a_backup_that_fails_leaves_the_one_before_it(tmp_path: Path) -> None:
    before = _made(tmp_path / "b").read_bytes()
    with pytest.raises(RuntimeError), new_archive(tmp_path / "b", _MANIFEST) as new:
        new.text("config.toml", "")
        raise RuntimeError
    assert (tmp_path / "b").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_file_that_is_no_backup_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("Dear Bob")
    with pytest.raises(Conflict), new_archive(tmp_path / "letter", _MANIFEST):
        pass
    assert (tmp_path / "letter").read_text() == "Dear Bob"


def _add(name: str, kind: bytes = tarfile.REGTYPE) -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info, io.BytesIO())

    return add


@pytest.mark.parametrize(
    "add",
    [
        _add("../outside"),
        _add("files/../../outside"),
        _add("/files/absolute"),
        _add("unknown"),
        _add("files"),
        _add("files/link", tarfile.SYMTYPE),
        _add("config.toml", tarfile.LNKTYPE),
        _add("files/pipe", tarfile.FIFOTYPE),
    ],
)
def test_other_files_in_an_archive_are_refused(
    tmp_path: Path, add: Callable[[tarfile.TarFile], None]
) -> None:
    _made(tmp_path / "b")
    with tarfile.open(tmp_path / "b") as old, tarfile.open(tmp_path / "c", "w:gz") as changed:
        member = old.next()
        assert member is not None
        changed.addfile(member, old.extractfile(member))
        add(changed)
    (tmp_path / "deep" / "out").mkdir(parents=True)
    with opened_archive(tmp_path / "c") as (_, tar), pytest.raises(Malformed):
        unpack(tar, tmp_path / "deep" / "out")
    assert not any(path.is_file() for path in (tmp_path / "deep").rglob("*"))


@pytest.mark.parametrize("length", [0, 1, 30, 150, -20])
def test_a_cut_archive_is_refused(tmp_path: Path, length: int) -> None:
    octets = _made(tmp_path / "b").read_bytes()
    (tmp_path / "b").write_bytes(octets[:length])
    with pytest.raises(MailProxyError):
        with opened_archive(tmp_path / "b") as (_, tar):
            unpack(tar, tmp_path / "out")


def test_config_goes_without_secrets_and_database() -> None:
    config = """
db_path = "postgresql://ann:secret@db/mail"
api_token = "secret"
[client_sync]
url = "https://app.example/hook"
  password="secret"
[alerts]
# alert_secret = "..."
alert_secret = "whsec_secret"
"""
    text = portable_config(config, keep_secrets=False)
    assert "secret" not in text.replace("alert_secret", "")
    assert tomllib.loads(text) == {"client_sync": {"url": "https://app.example/hook"}, "alerts": {}}
    assert portable_config(config, keep_secrets=True).count("secret") == 5
    assert "postgresql" not in portable_config(config, keep_secrets=True)


@pytest.mark.parametrize(
    "config",
    [
        'client_sync = { password = "x" }',
        'client_sync.password = "x"',
        '[client_sync]\n"password" = "x"',
        "not TOML",
    ],
)
def test_a_secret_in_another_form_is_not_overlooked(config: str) -> None:
    with pytest.raises(Malformed):
        portable_config(config, keep_secrets=False)
