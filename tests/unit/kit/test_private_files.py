"""An instance's folder that others could change, and files that lead elsewhere"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mail_proxy.cli.background import holds_secret
from mail_proxy.cli.instance import Instance
from mail_proxy.kit.private_files import UnsafeFile, make_folder, open_private


def test_a_folder_that_was_open_to_others_is_closed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instance = Instance("dev", tmp_path)
    instance.folder.mkdir()
    instance.folder.chmod(0o777)
    instance.create({})
    assert stat.S_IMODE(instance.folder.stat().st_mode) == 0o700
    assert "Other users had access" in capsys.readouterr().err
    instance.create({})
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "dev"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    with pytest.raises(UnsafeFile, match="belongs to the user with the id 65534"):
        make_folder(folder)


@pytest.mark.parametrize("name", ["pid", "log", "token", "encryption_key"])
def test_a_symbolic_link_in_place_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    instance = Instance("dev", tmp_path)
    instance.folder.mkdir(mode=0o700)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (instance.folder / name).symlink_to(victim)
    with pytest.raises(UnsafeFile, match=f"{name} is a symbolic link"):
        instance.create({})
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR | os.O_CREAT])
def test_only_plain_files_are_opened(tmp_path: Path, flags: int) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(tmp_path / "nowhere")
    os.mkfifo(pipe)
    for path in (link, pipe, tmp_path):
        with pytest.raises(UnsafeFile, match=f"{path.name} is"):
            open_private(path, flags)
    assert not (tmp_path / "nowhere").exists()


def test_a_pid_file_that_is_a_link_is_refused_by_every_command(tmp_path: Path) -> None:
    instance = Instance("dev", tmp_path)
    instance.create({})
    instance.pid_file.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFile):
        instance.find_running()
    with pytest.raises(UnsafeFile), instance.pid_file.hold():
        pass


@pytest.mark.parametrize(
    ("options", "holds"),
    [
        ({"db_path": "postgresql://me:word@host/db"}, True),
        ({"db_path": "postgresql://host/db?password=word"}, True),
        ({"api_token": "word"}, True),
        ({"db_path": "postgresql://me@host/db", "port": 1}, False),
        ({"db_path": None, "api_token": None}, False),
    ],
)
def test_which_options_must_not_stay_in_the_list_of_processes(
    options: dict[str, object], holds: bool
) -> None:
    assert holds_secret(options) is holds
