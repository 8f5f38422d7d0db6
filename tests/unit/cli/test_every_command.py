"""The script that tries every command knows every command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.scenarios.every_command import ELSEWHERE, tried

from mail_proxy.cli.commands import COMMANDS
from mail_proxy.cli.root import root


def _commands() -> Iterator[str]:
    group = root()
    for word in COMMANDS:
        found: Any = group.commands[word]
        inner = getattr(found, "commands", None)
        yield from (f"{word} {name}" for name in inner) if inner else (word,)


def test_every_command_is_tried_on_demand() -> None:
    assert set(_commands()) - tried() - ELSEWHERE == set()
