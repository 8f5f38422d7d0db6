"""mail-proxy NAME ..."""

from __future__ import annotations

from pathlib import Path

import pytest

from mail_proxy.cli.commands import RESERVED_NAMES
from mail_proxy.cli.instance import Instance
from mail_proxy.cli.instance_commands import arranged, chosen
from mail_proxy.errors import Malformed, NotFound


def test_the_first_word_is_an_instance_or_a_command(tmp_path: Path) -> None:
    environ = {"GMP_HOME": str(tmp_path)}
    shop = Instance("shop", tmp_path)
    shop.create(environ)
    for words in (["shop"], ["shop", "keys", "rotate"], ["shop", "--help"], ["shop", "nonsense"]):
        found = chosen(words, environ)
        assert found is not None
        assert found.folder == shop.folder
    for words in ([], ["--help"], ["--version"], ["nonsense"], ["nonsense", "shop"]):
        assert chosen(words, environ) is None
    for command in RESERVED_NAMES:
        assert chosen([command, "keys"], environ) is None


def test_a_command_about_no_instance_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no instance 'shpo'"):
        chosen(["shpo", "keys", "rotate"], {"GMP_HOME": str(tmp_path)})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("status shop", "status shop"),
        ("shop status", "status shop"),
        ("shop status --json", "status shop --json"),
        ("new start --port 0", "start new --port 0"),
        ("status", "status"),
        ("log", "shop log"),
        ("log --follow", "shop log --follow"),
        ("log shop --follow", "shop log --follow"),
        ("audit", "shop audit"),
        ("audit shop", "shop audit"),
        ("shop audit", "shop audit"),
        ("keys rotate", "shop keys rotate"),
        ("keys rotate shop", "shop keys rotate"),
        ("keys shop rotate", "shop keys rotate"),
        ("shop keys rotate", "shop keys rotate"),
        ("shop", "shop"),
        ("list", "list"),
        ("--version", "--version"),
        ("", ""),
    ],
)
def test_both_orders_are_understood(tmp_path: Path, given: str, expected: str) -> None:
    environ = {"GMP_HOME": str(tmp_path)}
    Instance("shop", tmp_path).create(environ)
    assert arranged(given.split(), environ) == expected.split()


def test_without_a_single_instance_its_name_is_needed(tmp_path: Path) -> None:
    environ = {"GMP_HOME": str(tmp_path)}
    with pytest.raises(Malformed, match="there is none yet"):
        arranged(["log"], environ)
    for name in ("shop", "post"):
        Instance(name, tmp_path).create(environ)
    with pytest.raises(Malformed, match=r"there are 2 \(post, shop\)"):
        arranged(["log"], environ)
    assert arranged(["log", "post"], environ) == ["post", "log"]
