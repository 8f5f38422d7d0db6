"""The table of commands, its overview, and how much help loads."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
import typer
from typer.main import get_command

from mail_proxy.cli.commands import COMMANDS, RESERVED_NAMES
from mail_proxy.cli.groups import loaded
from mail_proxy.cli.names import is_name
from mail_proxy.cli.overview import overview, wants_overview
from mail_proxy.cli.root import root


@pytest.mark.parametrize("word", COMMANDS)
def test_each_command_is_loaded_from_its_module(word: str) -> None:
    command = root().commands[word]
    assert command.name == word
    assert not is_name(word)
    assert word in RESERVED_NAMES
    entry = COMMANDS[word]
    if entry.plain is not None:
        subcommands = list(command.commands)
        assert entry.words == " | ".join(subcommands)
        assert set(entry.plain) <= set(subcommands)
        for plain in entry.plain:
            kinds = [p.param_type_name for p in command.commands[plain].params]
            assert "argument" not in kinds
    else:
        arguments = [p.name for p in command.params if p.param_type_name == "argument"]
        assert bool(arguments) == bool(entry.words) or entry.scope.value == "name"


def test_each_command_has_a_line_in_the_overview_that_fits_a_terminal() -> None:
    text = overview(bold=False)
    for word, entry in COMMANDS.items():
        assert f"  {word} " in text
        assert entry.help in text
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b[1mInstances\x1b[0m" in overview(bold=True)


def test_the_overview_is_shown_for_no_word_and_for_help() -> None:
    assert all(wants_overview(words) for words in ([], ["--help"], ["-h"], ["--help", "x"]))
    assert not any(wants_overview(words) for words in (["list"], ["--version"], ["list", "--help"]))


def test_the_overview_loads_neither_typer_nor_rich_nor_settings() -> None:
    script = (
        "import sys\nsys.argv = ['mail-proxy', '--help']\n"
        "from mail_proxy.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(*(m.partition('.')[0] for m in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "mail-proxy NAME COMMAND" in done.stdout
    assert {"click", "httpx", "pydantic", "rich", "typer"}.isdisjoint(done.stderr.split())


def test_every_command_and_option_has_a_help_text() -> None:
    for word in COMMANDS:
        command = root().commands[word]
        for found in getattr(command, "commands", {word: command}).values():
            assert found.help, found.name
            for parameter in found.params:
                assert getattr(parameter, "help", None), (found.name, parameter.name)


def test_a_function_becomes_a_command_and_a_typer_a_group() -> None:
    def single() -> None:
        """Do one thing."""

    assert loaded("one", single).help == inspect.getdoc(single)
    several = typer.Typer()
    several.command()(single)
    several.callback()(lambda: None)
    assert loaded("many", several).name == "many"
    assert get_command(several).name != "many"
