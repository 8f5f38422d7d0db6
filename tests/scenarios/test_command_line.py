"""An operator makes an instance, looks at it, and takes it away again."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
from pathlib import Path

import httpx
import pytest
from tests.harness.command_line import CommandLine, end_of, occupied_port, wait_for
from tests.harness.running import delivering

from mail_proxy.cli import control


def test_an_instance_in_the_background_from_first_start_to_deletion(
    mail_proxy: CommandLine,
) -> None:
    started = mail_proxy("start", "dev", "--background", "--port", "0")
    assert started.returncode == 0, started.stderr
    assert started.stdout == ""
    instance = mail_proxy.instance("dev")
    assert str(instance.token_file) in started.stderr
    assert stat.S_IMODE(instance.token_file.stat().st_mode) == 0o600

    shown = json.loads(mail_proxy("status", "dev", "--json").stdout)
    assert shown["state"] == "running"
    assert shown["ready"] is True
    assert shown["pending_messages"] == 0
    assert shown["url"] in started.stderr
    [listed] = json.loads(mail_proxy("list", "--json").stdout)
    assert listed["url"] == shown["url"]
    assert listed["database"] == str(instance.database)
    assert mail_proxy("delete", "dev", "--force").returncode == 1

    stopped = mail_proxy("stop", "dev")
    assert stopped.returncode == 0, stopped.stderr
    assert not instance.pid_file.path.exists()
    status = mail_proxy("status", "dev", "--json")
    shown = json.loads(status.stdout)
    assert (shown["state"], shown["url"], shown["ready"]) == ("stopped", None, False)
    assert (status.returncode, shown["reason"]) == (3, "it was stopped")

    assert mail_proxy("delete", "dev", answer="n\n").returncode == 1
    assert instance.exists()
    assert mail_proxy("delete", "dev", answer="y\n").returncode == 0
    assert not instance.folder.exists()


def test_an_instance_with_its_dispatcher_switched_off_starts_and_says_so(
    mail_proxy: CommandLine,
) -> None:
    off = {"GMP_SCHEDULER_ACTIVE": "false"}
    started = mail_proxy("start", "dev", "--background", "--port", "0", **off)
    assert started.returncode == 0, started.stderr
    assert "the dispatcher is switched off" in started.stderr
    status = mail_proxy("status", "dev", "--json")
    assert status.returncode == 4
    shown = json.loads(status.stdout)
    assert (shown["state"], shown["ready"]) == ("running", False)
    assert "switched off" in shown["reason"]


def test_a_start_that_fails_names_the_database_without_its_password(
    mail_proxy: CommandLine,
) -> None:
    with occupied_port() as port:
        url = f"postgresql://me:hidden@127.0.0.1:{port}/mail"
        started = mail_proxy(
            "start", "dev", "--port", "0", GMP_DATABASE_URL=f"{url}?connect_timeout=2"
        )
    assert started.returncode == 1
    assert f"127.0.0.1:{port}/mail: " in started.stderr
    assert "action=proxy.failed" in started.stderr
    assert "hidden" not in started.stderr


def test_a_trouble_is_named_by_status_and_list_until_it_is_mended(mail_proxy: CommandLine) -> None:
    running = mail_proxy.started("dev")
    well = mail_proxy("status", "dev")
    assert (well.returncode, "Needs attention" in well.stderr) == (0, False)
    headers = {"X-API-Token": str(mail_proxy.instance("dev").token())}
    message = {"id": "m", "from": "a@example.org", "to": ["b@example.net"], "subject": "s"}
    with (
        socket.create_server(("127.0.0.1", 0)) as closed,
        httpx.Client(base_url=running.url, headers=headers, trust_env=False) as http,
    ):
        account = {"id": "smtp", "host": "127.0.0.1", "port": closed.getsockname()[1]}
        closed.close()
        http.post("/account", json={**account, "tls": "none"}).raise_for_status()
        http.post("/commands/add-messages", json={"messages": [message]}).raise_for_status()
        wait_for(lambda: http.get("/status?full=true").json()["attention"] or None)
    troubled = mail_proxy("status", "dev")
    assert troubled.returncode == 5
    assert "Needs attention: Account smtp cannot be used" in troubled.stderr
    assert "running, needs attention" in mail_proxy("list").stdout
    [listed] = json.loads(mail_proxy("list", "--json").stdout)
    assert listed["attention"] == 1
    shown = json.loads(mail_proxy("status", "dev", "--json").stdout)
    assert shown["accounts"] == {"total": 1, "paused": 1}
    assert [one["code"] for one in shown["attention"]] == ["account_paused"]
    with httpx.Client(base_url=running.url, headers=headers, trust_env=False) as http:
        http.delete("/account/smtp").raise_for_status()
    assert mail_proxy("status", "dev").returncode == 0


def test_a_test_alert_is_sent_by_a_running_and_by_a_stopped_instance(
    mail_proxy: CommandLine,
) -> None:
    none = mail_proxy("start", "dev", "--background", "--port", "0")
    assert none.returncode == 0, none.stderr
    refused = mail_proxy("dev", "alerts", "test")
    assert refused.returncode == 1
    assert "no alert_email and no alert_url is set" in refused.stderr
    assert mail_proxy("stop", "dev").returncode == 0
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    settings = {"GMP_ALERT_URL": url}
    failed = mail_proxy("alerts", "test", "dev", **settings)
    assert failed.returncode == 1
    assert "url: failed: no connection" in failed.stderr
    shown = json.loads(mail_proxy("dev", "alerts", "test", "--json", **settings).stdout)
    assert [one["channel"] for one in shown["channels"]] == ["url"]


def test_counters_are_shown_of_a_running_and_of_a_stopped_instance(
    mail_proxy: CommandLine,
) -> None:
    running = mail_proxy.started("dev", GMP_SCHEDULER_ACTIVE="true")
    nothing = mail_proxy("dev", "stats")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "Nothing was counted" in nothing.stderr
    headers = {"X-API-Token": str(mail_proxy.instance("dev").token())}
    message = {"id": "m", "from": "a@example.org", "to": ["b@example.net"], "subject": "s"}
    with httpx.Client(base_url=running.url, headers=headers, trust_env=False) as http:
        account = {"id": "smtp", "host": "127.0.0.1", "port": 9, "tls": "none"}
        http.post("/account", json=account).raise_for_status()
        http.post("/commands/add-messages", json={"messages": [message]}).raise_for_status()
    shown = mail_proxy("dev", "stats", "--by", "account", "--bucket", "day")
    lines = [line.split() for line in shown.stdout.splitlines()]
    title, row = (words for words in lines if len(words) > 1)
    assert title[:4] == ["Day", "Tenant", "Account", "Queued"]
    assert row[1:4] == ["default", "smtp", "1"]
    assert mail_proxy("stop", "dev").returncode == 0
    found = json.loads(mail_proxy("stats", "dev", "--json", "--tenant", "default").stdout)
    assert sum(hour["queued"] for hour in found) == 1
    wrong = mail_proxy("dev", "stats", "--from", "yesterday")
    assert wrong.returncode == 2
    assert "is not a time" in wrong.stderr


def test_the_first_step_that_start_shows_works_when_it_is_copied(mail_proxy: CommandLine) -> None:
    started = mail_proxy("start", "dev", "--background", "--port", "0")
    [line] = re.findall(r"curl .*", started.stderr)
    answer = subprocess.run(["sh", "-c", f"{line} -s"], capture_output=True, check=True)
    assert json.loads(answer.stdout)["ok"] is True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_foreground_cleanly(
    mail_proxy: CommandLine, number: signal.Signals
) -> None:
    process = mail_proxy.foreground("start", "dev", "--port", "0")
    mail_proxy.ready("dev")
    assert end_of(process, number) == 0
    assert mail_proxy.instance("dev").find_running() is None
    assert not mail_proxy.instance("dev").pid_file.path.exists()


def test_a_second_start_is_refused(mail_proxy: CommandLine) -> None:
    mail_proxy.foreground("start", "dev", "--port", "0")
    running = mail_proxy.ready("dev")
    for words in (["--background"], ["--port", "0"]):
        second = mail_proxy("start", "dev", *words)
        assert second.returncode == 1
        assert f"dev is running (pid {running.pid}" in second.stderr
    assert mail_proxy.ready("dev") == running


def test_what_a_killed_process_left_fools_nobody(mail_proxy: CommandLine) -> None:
    process = mail_proxy.foreground("start", "dev", "--port", "0")
    running = mail_proxy.ready("dev")
    assert end_of(process, signal.SIGKILL) == -signal.SIGKILL
    pid_file = mail_proxy.instance("dev").pid_file.path
    # The number of a process that lives, so that only the lock can tell.
    pid_file.write_text(pid_file.read_text().replace(str(running.pid), str(os.getpid())))
    [listed] = json.loads(mail_proxy("list", "--json").stdout)
    assert listed["state"] == "died"
    status = mail_proxy("status", "dev")
    assert status.returncode == 3
    assert "ended without a stop" in status.stdout
    assert mail_proxy("stop", "dev").returncode == 0
    assert mail_proxy("start", "dev", "--background", "--port", "0").returncode == 0


def test_a_busy_port_that_nobody_chose_moves_on(mail_proxy: CommandLine) -> None:
    with occupied_port(8000):
        assert mail_proxy("start", "dev", "--background").returncode == 0
        assert 8000 < mail_proxy.ready("dev").port < 8100


@pytest.mark.parametrize("way", ["option", "environment", "file"])
@pytest.mark.parametrize("background", [True, False])
def test_a_busy_port_that_was_chosen_is_refused(
    mail_proxy: CommandLine, way: str, background: bool
) -> None:
    instance = mail_proxy.instance("dev")
    instance.create({})
    with occupied_port() as port:
        words = ["--port", str(port)] if way == "option" else []
        environ = {"GMP_PORT": str(port)} if way == "environment" else {}
        if way == "file":
            instance.config_file.write_text(f"port = {port}\n")
        if background:
            words.append("--background")
        refused = mail_proxy("start", "dev", *words, **environ)
    assert refused.returncode == 1
    assert f"port {port} of 127.0.0.1 is in use" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("variable", "value", "setting"),
    [
        ("GMP_SEND_TIMEOUT", "soon", "timing.send_timeout"),
        ("GMP_PORT", "70000", "port"),
        ("GMP_ON_UNCERTAIN", "guess", "retry.on_uncertain"),
    ],
)
def test_a_wrong_setting_stops_the_start(
    mail_proxy: CommandLine, variable: str, value: str, setting: str
) -> None:
    refused = mail_proxy("start", "dev", **{variable: value})
    assert refused.returncode == 2
    [line] = refused.stderr.splitlines()
    assert f"{setting} ({variable}) = {value!r}: Input should be" in line
    assert not mail_proxy.instance("dev").folder.exists()


def test_a_database_that_is_none_leaves_no_half_instance(mail_proxy: CommandLine) -> None:
    refused = mail_proxy("start", "dev", "--database-url", "mysql://ann:hunter2@host/mail")
    assert refused.returncode == 2
    [line] = refused.stderr.splitlines()
    assert "db_path" in line
    assert "hunter2" not in line
    assert not mail_proxy.instance("dev").folder.exists()


def test_without_a_token_only_loopback_is_listened_on(mail_proxy: CommandLine) -> None:
    refused = mail_proxy("start", "dev", "--host", "0.0.0.0", "--api-token", "")
    assert refused.returncode == 2
    assert "loopback only" in refused.stderr


def test_a_key_that_cannot_be_used_is_one_clear_line(mail_proxy: CommandLine) -> None:
    instance = mail_proxy.instance("dev")
    instance.create({})
    instance.key_file.write_bytes(b"short")
    refused = mail_proxy("start", "dev", "--port", "0")
    assert refused.returncode == 1
    assert "encryption_key holds 5 bytes" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
    in_background = mail_proxy("start", "dev", "--port", "0", "--background")
    assert in_background.returncode == 1
    assert "encryption_key holds 5 bytes" in in_background.stderr


def test_a_restart_keeps_address_database_and_token(mail_proxy: CommandLine) -> None:
    database = mail_proxy.home.parent / "other.db"
    words = ["--port", "0", "--database-url", str(database), "--api-token", "of-my-own"]
    mail_proxy("start", "dev", "--background", *words)
    before = mail_proxy.ready("dev")
    again = mail_proxy("restart", "dev")
    assert again.returncode == 0, again.stderr
    after = mail_proxy.ready("dev")
    assert after.pid != before.pid
    assert (after.url, after.database) == (before.url, str(database))
    shown = json.loads(mail_proxy("status", "dev", "--json").stdout)
    assert shown["error"] is None
    assert mail_proxy.instance("dev").token() == "of-my-own"


def test_an_instance_remembers_its_database(mail_proxy: CommandLine) -> None:
    database = str(mail_proxy.home.parent / "other.db")
    words = ("start", "dev", "--port", "0", "--background")
    assert mail_proxy(*words, GMP_DB_PATH=database).returncode == 0
    assert mail_proxy("stop", "dev").returncode == 0
    assert mail_proxy("restart", "dev").returncode == 0
    assert mail_proxy.ready("dev").database == database
    assert not mail_proxy.instance("dev").database.exists()
    assert mail_proxy("stop", "dev").returncode == 0

    third = f"{database}.new"
    refused = mail_proxy(*words, GMP_DB_PATH=third)
    assert refused.returncode == 1
    assert all(part in refused.stderr for part in (database, third, "--new-database"))
    assert mail_proxy(*words, "--new-database", GMP_DB_PATH=third).returncode == 0
    assert mail_proxy("restart", "dev").returncode == 0
    assert mail_proxy.ready("dev").database == third


def test_stop_with_force_ends_a_process_that_does_not_listen_any_more(
    mail_proxy: CommandLine,
) -> None:
    process = mail_proxy.foreground("start", "dev", "--port", "0")
    mail_proxy.ready("dev")
    process.send_signal(signal.SIGSTOP)
    assert mail_proxy("stop", "dev", "--force").returncode == 0
    assert process.wait() == -signal.SIGKILL


def test_reloading_serves_with_the_same_settings(mail_proxy: CommandLine) -> None:
    process = mail_proxy.foreground("start", "dev", "--port", "0", "--reload")
    mail_proxy.ready("dev")
    shown = json.loads(mail_proxy("status", "dev", "--json").stdout)
    assert (shown["error"], shown["ready"]) == (None, True)
    assert mail_proxy.instance("dev").database.exists()
    assert end_of(process, signal.SIGTERM) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(shown["url"].rpartition(":")[2]))) != 0


def test_an_instance_whose_settings_broke_since_its_start_can_be_stopped(
    mail_proxy: CommandLine,
) -> None:
    process = mail_proxy.foreground("start", "dev", "--port", "0")
    mail_proxy.ready("dev")
    mail_proxy.instance("dev").config_file.write_text("port = ")
    refused = mail_proxy("restart", "dev")
    assert refused.returncode == 2
    assert process.poll() is None
    assert mail_proxy("stop", "dev").returncode == 0
    assert process.wait() == 0


def test_a_broken_settings_file_does_not_hide_the_other_instances(
    mail_proxy: CommandLine,
) -> None:
    for name in ("broken", "sound"):
        mail_proxy.instance(name).create({})
    mail_proxy.instance("broken").config_file.write_text("port = ")
    listed = mail_proxy("list", "--json")
    assert [i["name"] for i in json.loads(listed.stdout)] == ["broken", "sound"]
    assert "config.toml: not TOML" in listed.stderr
    table = mail_proxy("list")
    assert "sound" in table.stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["start"], 2),
        (["start", "list"], 2),
        (["start", "../elsewhere"], 2),
        (["start", "dev", "--port", "many"], 2),
        (["no-such-command"], 2),
        (["stop", "nobody"], 1),
        (["status", "nobody"], 1),
        (["delete", "nobody", "--force"], 1),
        (["--version"], 0),
        (["--help"], 0),
        (["list"], 0),
    ],
)
def test_exit_codes(mail_proxy: CommandLine, words: list[str], code: int) -> None:
    done = mail_proxy(*words)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert bool(done.stdout) == (words in (["--version"], ["--help"]))


def test_the_demo_shows_mail_and_report_and_leaves_nothing(installed: CommandLine) -> None:
    temporary = installed.home.parent / "temporary"
    temporary.mkdir()
    shown = installed("demo", TMPDIR=str(temporary), GMP_PORT="1", GMP_DB_PATH="/nowhere/at/all")
    assert shown.returncode == 0, shown.stderr
    headers, _, report = shown.stdout.partition("{")
    assert "To: Ann Example <ann@example.org>" in headers.splitlines()
    [sent] = json.loads("{" + report)["delivery_report"]
    assert (sent["id"], sent["tenant_id"]) == ("welcome-1", "default")
    assert sent["sent_ts"] > 0
    assert re.search(r"delivered after \d+ ms", shown.stderr)
    assert list(temporary.iterdir()) == []


def test_the_demo_shows_mails_that_come_back(installed: CommandLine) -> None:
    shown = installed("demo", "--bounce")
    assert shown.returncode == 0, shown.stderr
    texts = shown.stdout.split("\n[\n")
    returned, suppressed = (json.loads("[" + text.partition("\n]")[0] + "]") for text in texts[1:])
    assert {entry["id"] for entry in returned} == {"no-such-user", "spam-button", "question"}
    assert {entry["address"] for entry in suppressed} == {
        "unknown@example.net",
        "complaint@example.net",
    }


def test_the_demo_shows_receipts_of_certified_mail(installed: CommandLine) -> None:
    shown = installed("demo", "--pec")
    assert shown.returncode == 0, shown.stderr
    texts = shown.stdout.split("\n[\n")
    receipts, state = texts[1].split("\n]\n")
    found = json.loads(f"[{receipts}]")
    assert {(entry["pec_event"], entry["recipient"]) for entry in found} == {
        ("pec_acceptance", None),
        ("pec_delivery", "mario@pec.example.org"),
        ("pec_error", "unknown@pec.example.net"),
    }
    recipients = {each["address"]: each["status"] for each in json.loads(state)["recipients"]}
    assert recipients == {
        "mario@pec.example.org": "delivered",
        "unknown@pec.example.net": "error",
    }


def test_a_background_process_does_not_show_the_secrets_of_its_options(
    mail_proxy: CommandLine, installed: CommandLine
) -> None:
    secret = "word-of-the-day"
    options = ("--port", "0", "--workers", "1", "--api-token", secret, "--background")
    done = installed("start", "dev", *options)
    assert done.returncode == 0, done.stderr
    running = mail_proxy.ready("dev")
    assert control.service_status(running, secret)["ok"]
    for pid in (running.pid, *delivering(running.pid)):
        assert secret.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert mail_proxy("restart", "dev").returncode == 0
    assert running.options["concurrency.workers"] == 1
