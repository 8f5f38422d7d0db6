"""mail-proxy NAME ..."""

from __future__ import annotations

from pathlib import Path

import pytest

from mail_proxy.cli.commands import RESERVED_NAMES
from mail_proxy.cli.instance import Instance
from mail_proxy.cli.instance_commands import chosen
from mail_proxy.errors import NotFound


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
