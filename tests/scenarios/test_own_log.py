"""``mail-proxy NAME log``: the service's own log on the command line."""

from __future__ import annotations

import pytest
from tests.harness.command_line import CommandLine


def test_the_log_of_a_run_in_the_background(mail_proxy: CommandLine) -> None:
    mail_proxy.started("dev")
    shown = mail_proxy("dev", "log")
    assert shown.returncode == 0, shown.stderr
    assert "action=proxy.started" in shown.stdout
    assert shown.stdout.splitlines() == mail_proxy.instance("dev").log_file.read_text().splitlines()
    # The only instance need not be named, and its name may stand behind the command.
    assert mail_proxy("log", "-n", "1").stdout == shown.stdout.splitlines(keepends=True)[-1]
    assert mail_proxy("log", "dev", "-n", "0").stdout == ""
    assert mail_proxy("stop", "dev").returncode == 0
    assert "action=proxy.stopped" in mail_proxy("dev", "log").stdout


def test_an_empty_log_says_so(mail_proxy: CommandLine) -> None:
    mail_proxy.started("dev")
    assert mail_proxy("stop", "dev").returncode == 0
    log_file = mail_proxy.instance("dev").log_file
    for make_empty in (lambda: log_file.write_text(""), log_file.unlink):
        make_empty()
        shown = mail_proxy("dev", "log")
        assert (shown.returncode, shown.stdout) == (0, "")
        assert "The log of dev is empty" in shown.stderr


def test_the_newest_lines_of_a_large_log(mail_proxy: CommandLine) -> None:
    mail_proxy.started("dev")
    assert mail_proxy("stop", "dev").returncode == 0
    lines = [f"line {number} \x1b[31m" for number in range(20_000)]
    mail_proxy.instance("dev").log_file.write_text("\n".join(lines) + "\n")
    shown = mail_proxy("dev", "log", "--limit", "9000").stdout.splitlines()
    assert [line.split()[1] for line in shown] == [str(number) for number in range(11_000, 20_000)]
    assert "\x1b" not in shown[0]


@pytest.mark.parametrize("truncated", [False, True])
def test_the_log_is_followed(mail_proxy: CommandLine, truncated: bool) -> None:
    mail_proxy.started("dev")
    assert mail_proxy("stop", "dev").returncode == 0
    log_file = mail_proxy.instance("dev").log_file
    log_file.write_text("a first line\n")
    following = mail_proxy.foreground("log", "--follow")
    assert following.stdout is not None
    assert following.stdout.readline() == "a first line\n"
    if truncated:
        log_file.write_text("cut\n")
        assert following.stdout.readline() == "cut\n"
        return
    with log_file.open("a") as file:
        file.write("a second line\na half")
        file.flush()
        assert following.stdout.readline() == "a second line\n"
        file.write(" line\n")
        file.flush()
        assert following.stdout.readline() == "a half line\n"
