"""Commands ``bounces`` on a stopped instance."""

from __future__ import annotations

import json
from pathlib import Path

from tests.harness.command_line import CommandLine
from tests.harness.processes import free_port

FIELDS = ("--host", "127.0.0.1", "--tls", "none", "--user", "bounces@example.org")


def test_the_bounce_mailbox_is_set_tested_and_shown(tmp_path: Path) -> None:
    command_line = CommandLine(tmp_path)
    command_line.started("shop")
    assert command_line("stop", "shop").returncode == 0
    try:
        _set_test_show(command_line)
    finally:
        command_line.end_everything()


def _set_test_show(command_line: CommandLine) -> None:
    empty = command_line("shop", "bounces", "test")
    assert empty.returncode == 1
    assert "no imap_host" in empty.stderr
    port = str(free_port())
    saved = command_line(
        *("shop", "bounces", "set", *FIELDS, "--port", port, "--password", "hunter22", "--enable"),
        *("--detect-replies", "--json"),
    )
    assert saved.returncode == 0, saved.stderr
    found = json.loads(saved.stdout)
    assert (found["imap_port"], found["detect_replies"], found["enabled"]) == (
        int(port),
        True,
        True,
    )
    assert found["imap_password"] == "********"
    shown = command_line("shop", "bounces", "show")
    assert "bounces@example.org" in shown.stdout
    assert "hunter22" not in shown.stdout + shown.stderr
    tested = command_line("shop", "bounces", "test", "--json")
    assert tested.returncode == 1
    assert json.loads(tested.stdout)["stage"] == "connect"
    assert command_line("shop", "bounces", "reload").returncode == 0
    wrong = command_line("shop", "bounces", "set", "--after-processing", "burn")
    assert wrong.returncode == 2
    assert "after_processing" in wrong.stderr
