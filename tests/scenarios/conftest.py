"""The command line in a home folder of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.command_line import CommandLine


@pytest.fixture
def mail_proxy(tmp_path: Path) -> Iterator[CommandLine]:
    command_line = CommandLine(tmp_path / "home")
    yield command_line
    command_line.end_everything()


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[CommandLine]:
    """The same, with processes that really execute the installed program."""
    command_line = CommandLine(tmp_path / "home", executed=True)
    yield command_line
    command_line.end_everything()
