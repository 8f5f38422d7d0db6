"""The commands about tenants, accounts and messages, on a running and on a stopped instance."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from tests.harness.command_line import CommandLine, CompletedCommand
from tests.harness.dns_server import dns_server
from tests.harness.processes import free_port

from mail_proxy.client import MailProxyClient, Message


@pytest.fixture(scope="module", params=["running", "stopped"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The command line of a machine with one instance, whose messages wait until tomorrow."""
    command_line = CommandLine(tmp_path_factory.mktemp(request.param))
    command_line.started("shop")
    with _client(command_line) as client:
        client.tenants.add("story")
        client.accounts.add(id="smtp", host="127.0.0.1", port=free_port(), tenant_id="story")
        client.messages.add([_mail(f"m{number}") for number in range(3)], tenant_id="story")
    if request.param == "stopped":
        _done(command_line("stop", "shop"))
    yield command_line
    command_line.end_everything()


def _client(command_line: CommandLine) -> MailProxyClient:
    instance = command_line.instance("shop")
    running = instance.find_running()
    assert running is not None
    return MailProxyClient(running.url, instance.token(), trust_env=False)


def _mail(id_: str) -> Message:
    return {
        "id": id_,
        "from": "Ann <ann@example.org>",
        "to": ["bob@example.net", "eve@example.net"],
        "subject": f"About [{id_}]",
        "body": "Hello Bob\n",
        "batch_code": "spring",
        "deferred_ts": time.time() + 86_400,
    }


def _done(command: CompletedCommand) -> CompletedCommand:
    assert command.returncode == 0, command.stderr
    assert "Traceback" not in command.stderr
    return command


def _json(command: CompletedCommand) -> Any:
    return json.loads(_done(command).stdout)


def test_tenants_from_the_first_to_the_last_command(shop: CommandLine) -> None:
    options = ["--id", "acme", "--name", "Acme", "--sync-url", "https://acme.example/hook"]
    options += ["--attachment-url", "https://acme.example/files"]
    added = _done(shop("shop", "tenants", "add", *options, "--auth-token", "secret-word"))
    assert len(added.stdout.strip()) == 43
    assert "Next: `mail-proxy shop acme accounts add`" in added.stderr
    shown = _json(shop("tenants", "show", "acme", "--json"))
    assert shown["client_base_url"] == "https://acme.example"
    assert shown["client_sync_path"] == "/hook"
    assert shown["client_attachment_path"] == "/files"
    elsewhere = shop(
        "tenants", "update", "acme", "--sync-url", "https://a.example/x", *options[-2:]
    )
    assert elsewhere.returncode == 2
    assert "different hosts" in elsewhere.stderr
    assert shown["client_auth"] == {"method": "bearer", "token": "********"}
    assert "https://acme.example" in _done(shop("shop", "acme", "info")).stdout
    _done(shop("tenants", "update", "acme", "--inactive", "--base-url", ""))
    listed = {t["id"]: t for t in _json(shop("tenants", "list", "--json"))}
    assert (listed["acme"]["active"], listed["acme"]["client_base_url"]) == (False, None)
    assert "acme" not in _done(shop("tenants", "list", "--active-only", "--csv")).stdout
    key = _done(shop("tenants", "key", "acme")).stdout
    assert len(key.strip()) == 43
    assert key != added.stdout
    _done(shop("tenants", "key", "acme", "--revoke"))
    asked = shop("tenants", "delete", "acme", answer="n\n")
    assert asked.returncode == 1
    _done(shop("tenants", "delete", "acme", "--force"))
    assert shop("tenants", "show", "acme").returncode == 1
    assert shop("tenants", "update", "default").returncode == 2


def test_a_new_tenant_and_a_new_account_are_asked_for_step_by_step(shop: CommandLine) -> None:
    _done(shop("tenants", "add", answer="beta\nBeta Ltd\nhttps://beta.example\nnone\n"))
    shown = _json(shop("tenants", "show", "beta", "--json"))
    assert (shown["name"], shown["client_base_url"]) == ("Beta Ltd", "https://beta.example")
    added = shop("shop", "beta", "accounts", "add", answer="\nmail.invalid\nssl\n\n\nn\n")
    _done(added)
    (account,) = _json(shop("shop", "beta", "accounts", "list", "--json"))
    assert (account["id"], account["host"]) == ("smtp", "mail.invalid")
    assert (account["tls"], account["port"]) == ("ssl", 465)
    _done(shop("tenants", "delete", "beta", "--force"))


def test_accounts_from_the_first_to_the_last_command(shop: CommandLine) -> None:
    options = ["--id", "other", "--host", "127.0.0.1", "--port", str(free_port()), "--tls", "none"]
    limits = ["--limit-minute", "5", "--hourly-limit", "50"]
    _done(shop("shop", "story", "accounts", "add", *options, *limits))
    table = _done(shop("shop", "story", "accounts", "list")).stdout
    assert "5/min 50/h" in table
    assert _json(shop("shop", "story", "accounts", "show", "other", "--json"))["tls"] == "none"
    tested = shop("shop", "story", "accounts", "test", "other")
    assert tested.returncode == 1
    assert "connect" in tested.stdout
    assert "Nothing answers on port" in tested.stderr
    _done(shop("shop", "story", "accounts", "delete", "other", "--force"))
    assert len(_json(shop("accounts", "list", "--json"))) == 1
    wrong = shop("accounts", "add", "--host", "x")
    assert wrong.returncode == 2
    assert "--id is required" in wrong.stderr


def test_messages_are_listed_and_the_story_of_one_is_told(shop: CommandLine) -> None:
    found = _json(shop("messages", "list", "--limit", "2", "--oldest", "--json"))
    assert [(m["id"], m["from"]) for m in found] == [
        ("m0", "Ann <ann@example.org>"),
        ("m1", "Ann <ann@example.org>"),
    ]
    limited = shop("messages", "list", "--limit", "2")
    assert "About [m2]" in limited.stdout
    assert "There are more" in limited.stderr
    text = _done(shop("shop", "story", "messages", "list", "--status", "pending", "--csv")).stdout
    rows = list(csv.DictReader(StringIO(text)))
    assert [row["id"] for row in rows] == ["m2", "m1", "m0"]
    assert rows[0]["to"] == "bob@example.net, eve@example.net"
    story = _done(shop("messages", "show", "m1")).stdout
    for words in ("m1 (tenant story, account smtp)", "pending, waits (", "queued"):
        assert words in story
    told = _json(shop("messages", "show", "m1", "--json"))
    assert told["message"]["id"] == "m1"
    assert [event["event_type"] for event in told["events"]] == ["queued"]
    assert shop("messages", "show", "nothing").returncode == 1


def test_messages_are_suspended_retried_and_removed(shop: CommandLine) -> None:
    of_story = ("shop", "story")
    held = _json(shop(*of_story, "suspend", "spring", "--json"))
    assert (held["suspended_batches"], held["pending_messages"]) == (["spring"], 3)
    resumed = _done(shop(*of_story, "activate", "spring"))
    assert "Batch spring of story is active" in resumed.stderr
    retried = _json(shop(*of_story, "messages", "retry", "m0", "--dry-run", "--json"))
    assert (retried["requeued"], retried["not_failed"]) == (0, ["m0"])
    assert _json(shop(*of_story, "messages", "cleanup", "--json"))["removed"] == 0
    with_unknown = shop(*of_story, "messages", "delete", "nothing")
    assert with_unknown.returncode == 1
    assert "not found: nothing" in with_unknown.stderr


def test_the_rest_about_an_instance(shop: CommandLine) -> None:
    token = _done(shop("token")).stdout.strip()
    assert token == shop.instance("shop").token()
    _done(shop("shop", "story", "suppressions", "add", "gone@example.net", "--detail", "asked"))
    assert "gone@example.net" in _done(shop("suppressions", "list", "--csv")).stdout
    _done(shop("shop", "story", "suppressions", "delete", "gone@example.net"))
    _done(shop("shop", "story", "dkim", "add", "example.org", "--algorithm", "ed25519-sha256"))
    (key,) = _json(shop("dkim", "list", "--json"))
    assert key["selector"] == "gmp1"
    _done(shop("shop", "story", "dkim", "delete", "example.org", "gmp1"))
    mount = ["add", "docs", "--protocol", "local", "--set", "base_path=/srv/docs"]
    _done(shop("shop", "story", "storages", *mount))
    assert "base_path=/srv/docs" in _done(shop("shop", "story", "storages", "list")).stdout
    assert (
        json.loads(shop("shop", "story", "storages", "show", "docs").stdout)["protocol"] == "local"
    )
    _done(shop("shop", "story", "storages", "delete", "docs"))
    is_running = shop.instance("shop").find_running() is not None
    for words in (["run-now"], ["top", "--json"]):
        assert (shop(*words).returncode == 0) == is_running
    for words in (["token", "--regenerate"], ["db", "upgrade"]):
        done = shop(*words)
        assert (done.returncode == 0) != is_running, done.stderr
        if is_running:
            assert "mail-proxy stop shop" in done.stderr
    if not is_running:
        assert shop.instance("shop").token() != token


def test_doctor_names_faults_and_says_what_to_do(shop: CommandLine) -> None:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(dns_server()) as server,
    ):
        environ = {"GMP_DNS_SERVERS": server.address}
        shown = shop("doctor", "--json", **environ)
        table = shop("shop", "doctor", **environ)
    assert (shown.returncode, table.returncode) == (5, 5), shown.stderr
    found = json.loads(shown.stdout)
    assert found["ok"] is False
    checks = {(c["check"], c["subject"]): c for c in found["checks"]}
    assert checks["account", "story/smtp"]["ok"] is False
    assert checks["spf", "example.org"]["text"] == "no record"
    assert all(check["hint"] for check in found["checks"] if not check["ok"])
    assert all(checks[name, sub]["ok"] for name, sub in checks if name in ("database", "files"))
    assert "account story/smtp: connect at 127.0.0.1:" in table.stderr
    assert "do: Nothing answers on port" in table.stderr


def test_a_python_shell_about_the_instance(shop: CommandLine) -> None:
    lines = [
        "proxy.messages.pending()",
        "found = proxy.messages.list()",
        "print('ids', sorted(m.id for m in found))",
        "proxy.status()",
        "proxy.stats()",
        "proxy.tenants.list()",
        "proxy.accounts.get('smtp', tenant_id='story')",
        "proxy.messages.get('nothing')",
        "proxy.close()",
        "proxy.suspend(tenant_id='story')",
        "new_message('story')",
        "ann@example.org",
        "bob@example.net",
        "From the shell",
        "Hello",
        "proxy.messages.delete(proxy.messages.list(q='From the shell')[0].id, 'story')",
        "proxy.activate(tenant_id='story')",
        "for name in ('smtp',):",
        "    print('loop', name)",
        "",
    ]
    done = _done(shop("shop", "connect", answer="\n".join(lines) + "\n"))
    assert "About [m2]" in done.stdout
    assert "ids ['m0', 'm1', 'm2']" in done.stdout
    assert "pending messages" in done.stdout
    assert "loop smtp" in done.stdout
    assert "Error: no such message" in done.stderr
    assert "no 'close' here; there is: accounts, activate" in done.stderr
    assert "removed       1" in done.stdout


def test_the_instance_and_tenant_that_are_remembered(shop: CommandLine) -> None:
    _done(shop("use", "shop/story"))
    assert _json(shop("current", "--json"))["tenant"] == "story"
    assert len(_json(shop("accounts", "list", "--json"))) == 1
    _done(shop("use", "--clear"))
    assert _json(shop("current", "--json")) == {
        "name": "shop",
        "tenant": None,
        "name_origin": "the only instance",
        "tenant_origin": None,
    }
    assert shop("use", "nobody").returncode == 1
    assert shop("use").returncode == 2
