"""The programs of the page about the client library work, against a service of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, blocks
from tests.harness.command_line import CommandLine
from tests.harness.processes import free_port


@pytest.fixture
def mail_proxy(tmp_path: Path) -> Iterator[CommandLine]:
    command_line = CommandLine(tmp_path / "home")
    yield command_line
    command_line.end_everything()


def test_the_programs_of_the_page_work_one_after_the_other(mail_proxy: CommandLine) -> None:
    running = mail_proxy.started("shop")
    page = "\n".join(blocks(ROOT / "docs" / "howto" / "python-client.md", "python"))
    program = page.replace("http://localhost:8000", running.url).replace("2525", str(free_port()))
    environ = {"MAIL_PROXY_TOKEN": mail_proxy.instance("shop").token() or "", "NO_PROXY": "*"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no such message" in done.stdout
    assert "port" in done.stdout
