"""The audit log on the command line, and an instance made anew from it"""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from tests.harness.command_line import CommandLine


def call(mail_proxy: CommandLine, name: str, method: str, path: str, body: object = None) -> None:
    running = mail_proxy.ready(name)
    headers = {"X-API-Token": mail_proxy.instance(name).token() or ""}
    url = running.url + path
    response = httpx.request(method, url, headers=headers, json=body, trust_env=False, timeout=60)
    assert response.status_code == 200, response.text


def start(mail_proxy: CommandLine, name: str) -> None:
    mail_proxy.started(name)


def test_an_export_makes_the_instance_anew(mail_proxy: CommandLine, tmp_path: Path) -> None:
    start(mail_proxy, "old")
    call(mail_proxy, "old", "POST", "/tenant", {"id": "acme", "name": "Acme"})
    account = {"id": "a", "host": "mail.example", "tenant_id": "acme", "password": "hunter22"}
    call(mail_proxy, "old", "POST", "/account", account)
    mail = {"id": "m", "from": "a@example.org", "to": "b@example.net", "subject": "s"}
    body = {"messages": [{**mail, "tenant_id": "acme"}]}
    call(mail_proxy, "old", "POST", "/commands/add-messages", body)

    running = mail_proxy("old", "audit", "--json")
    assert mail_proxy("stop", "old").returncode == 0
    stopped = mail_proxy("old", "audit", "--json")
    assert running.stdout == stopped.stdout
    operations = [json.loads(line)["operation"] for line in stopped.stdout.splitlines()]
    assert operations == ["tenants.save", "accounts.save", "messages.add"]
    assert "hunter22" not in stopped.stdout
    words = mail_proxy("old", "audit", "-n", "2").stdout.splitlines()
    assert ["POST /account" in words[0], "POST /commands/add-messages" in words[1]] == [True, True]

    newest = mail_proxy("old", "audit", "--json", "-n", "1").stdout
    assert newest == stopped.stdout.splitlines(keepends=True)[-1]

    file = tmp_path / "export"
    file.write_text(stopped.stdout)
    start(mail_proxy, "new")
    done = mail_proxy("new", "audit", "--replay", str(file))
    assert done.returncode == 0, done.stderr
    assert "2 entries were replayed, 1 skipped" in done.stderr
    again = mail_proxy("new", "audit", "--replay", str(file))
    assert again.returncode == 1
    assert "empty instance" in again.stderr
    lines = mail_proxy("new", "audit", "--json").stdout.splitlines()
    operations = [json.loads(line)["operation"] for line in lines]
    assert operations == ["tenants.save", "accounts.save", "command_log.replay"]


def test_the_log_is_followed(mail_proxy: CommandLine) -> None:
    start(mail_proxy, "dev")
    call(mail_proxy, "dev", "POST", "/commands/run-now")
    following = mail_proxy.foreground("dev", "audit", "--follow")
    assert following.stdout is not None
    assert "POST /commands/run-now" in following.stdout.readline()
    call(mail_proxy, "dev", "POST", "/tenant", {"id": "acme"})
    assert "POST /tenant  tenant_id=acme" in following.stdout.readline()


@pytest.mark.parametrize(
    ("words", "code"),
    [(("--follow",), 1), (("--replay", "nowhere"), 1), (("--replay", "x", "--json"), 2)],
)
def test_what_cannot_be_done_is_told(
    mail_proxy: CommandLine, words: tuple[str, ...], code: int
) -> None:
    start(mail_proxy, "dev")
    assert mail_proxy("stop", "dev").returncode == 0
    done = mail_proxy("dev", "audit", *words)
    assert done.returncode == code
    assert "Error:" in done.stderr
    assert "Traceback" not in done.stderr
