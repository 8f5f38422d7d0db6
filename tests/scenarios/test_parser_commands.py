"""``mail-proxy bounce`` and ``mail-proxy pec`` show the content that the parsers find in files"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.harness.command_line import CommandLine
from tests.harness.corpus import BOUNCES, RECEIPTS, expected

_BOUNCE_FIELDS = ["file", "kind", "message_id", "tracking_id", "recipients"]
_RECIPIENT_FIELDS = ["address", "type", "code", "category", "reason"]
_PEC_FIELDS = [
    *("file", "event", "receipt_type", "message_id", "recipient", "identifier", "timestamp"),
    *("provider", "error", "error_reason"),
]


@pytest.fixture
def command(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def _named(mails: list[Path], name: str) -> Path:
    return next(mail for mail in mails if mail.stem == name)


def test_a_line_of_json_for_each_bounce(command: CommandLine) -> None:
    mails = [_named(BOUNCES, "postfix-several"), _named(BOUNCES, "arf-abuse")]
    done = command("bounce", "--json", *map(str, mails))
    assert (done.returncode, done.stderr) == (0, "")
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert [list(one) for one in shown] == [_BOUNCE_FIELDS] * 2
    assert [one["file"] for one in shown] == list(map(str, mails))
    assert [one["kind"] for one in shown] == ["bounce", "complaint"]
    recipients = shown[0]["recipients"]
    assert [list(one) for one in recipients] == [_RECIPIENT_FIELDS] * 3
    assert all(one.pop("reason") for one in recipients)
    assert recipients == expected(mails[0])["recipients"]


def test_a_line_of_json_for_each_receipt(command: CommandLine) -> None:
    mail = _named(RECEIPTS, "errore-consegna-one-of-two")
    done = command("pec", "--json", str(mail))
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert list(shown) == _PEC_FIELDS
    assert shown == {"file": str(mail), **expected(mail)}


@pytest.mark.parametrize(("word", "mail"), [("bounce", BOUNCES[0]), ("pec", RECEIPTS[0])])
def test_standard_input_is_a_mail(command: CommandLine, word: str, mail: Path) -> None:
    done = command(word, "--json", "-", answer=mail.read_text("utf-8"))
    shown = json.loads(done.stdout)
    assert shown["file"] == "-"
    assert shown["message_id"] == expected(mail)["message_id"]


def test_the_other_files_are_shown_if_one_cannot_be_read(command: CommandLine) -> None:
    missing = command.home / "missing.eml"
    done = command("bounce", "--json", str(BOUNCES[0]), str(missing), str(BOUNCES[1]))
    assert done.returncode == 1
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == [
        str(BOUNCES[0]),
        str(BOUNCES[1]),
    ]
    assert f"Error: {missing}: No such file or directory" in done.stderr.replace("\n", "")


def test_people_read_facts(command: CommandLine) -> None:
    done = command("bounce", str(_named(BOUNCES, "qmail-several")))
    assert "mailbox_full" in done.stdout
    assert "ann@example.net  hard  550  unknown_user" in done.stdout
    done = command("pec", str(_named(RECEIPTS, "accettazione")), str(_named(RECEIPTS, "envelope")))
    assert "pec_acceptance" in done.stdout
    assert "no PEC receipt" in done.stdout


def test_without_a_file_the_usage_is_wrong(command: CommandLine) -> None:
    assert command("bounce").returncode == 2
