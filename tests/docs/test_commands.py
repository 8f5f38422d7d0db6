"""What a newcomer copies from README and tutorial works, line by line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, blocks
from tests.harness.command_line import CommandLine
from tests.harness.processes import free_port

_PORTS = ("8000", "5000", "2525")
#: In place of the reader's patience: ``sleep`` waits for the next report.
_PATIENCE = """\
set -eu
seen=0
sleep() {
    seen=$((seen + 1))
    for try in {1..2400}; do
        if (($(grep -c '^report:' "$OUTPUT") >= seen)); then return; fi
        command sleep 0.05
    done
    echo "no report came"
    exit 1
}
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Home of a user; the instances in it end with the test."""
    yield tmp_path
    CommandLine(tmp_path / ".mail-proxy").end_everything()


def run(page: str, home: Path) -> str:
    """Run the page's shell blocks as one terminal would; returns what appeared in it."""
    script = _PATIENCE + "".join(blocks(ROOT / page, "sh"))
    for usual in _PORTS:
        script = re.sub(rf"\b{usual}\b", str(free_port()), script)
    output = home / "output"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("GMP_", "MAIL_"))}
    own = {
        "HOME": str(home),
        "GMP_HOME": str(home / ".mail-proxy"),
        "OUTPUT": str(output),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "no_proxy": "127.0.0.1",
    }
    with output.open("wb") as file:
        terminal = subprocess.Popen(
            ["bash", "-c", script],
            cwd=ROOT,
            env={**inherited, **own},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        try:
            code = terminal.wait(240)
        finally:
            _end_group(terminal.pid)
    text = output.read_text()
    assert code == 0, text
    return text


def _end_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def test_readme(home: Path) -> None:
    text = run("README.md", home)
    assert '{"ok":true,"queued":1,"replaced":0,"duplicates":[],"rejected":[]}' in text
    assert "MESSAGE FOLLOWS" in text
    assert 'report: {"sent_ts": ' in text
    assert '"status":"sent"' in text
    assert '"ok":false' not in text
    assert "shop has stopped" in text


def test_tutorial(home: Path) -> None:
    text = run("docs/tutorial.md", home)
    assert "MESSAGE FOLLOWS" in text
    assert 'report: {"sent_ts": ' in text
    assert re.search(r'"event_type":"sent".*"reported_ts":\d+', text)
    assert '"duplicates":[{"id":"order-1","status":"sent"}]' in text
    assert 'report: {"deferred_ts": ' in text
    assert '"status":"deferred"' in text
    assert '"ok":false' not in text
    assert "shop is deleted" in text


def test_the_program_that_takes_reports_itself(tmp_path: Path) -> None:
    _, program = blocks(ROOT / "docs" / "reference" / "reports.md", "python")
    assert output_of(program, tmp_path) == "[]\n"


def test_the_tests_of_an_application(tmp_path: Path) -> None:
    mails, receipts = blocks(ROOT / "docs" / "howto" / "testing.md", "python")
    assert output_of(mails, tmp_path) == ""
    assert output_of(receipts, tmp_path) == ""


def output_of(program: str, folder: Path) -> str:
    """Run a Python program of a page, with warnings as errors, and return its output."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
