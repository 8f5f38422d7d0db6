"""PEC accounts: their fields, their secrets, and the checks of messages at hand-over."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.harness.imap_server import PASSWORD, Dovecot
from tests.protocols.rest.client import ONE_DATABASE, Client

from mail_proxy.testing.smtp_server import ScriptedSmtpServer

ACCOUNT = {
    "id": "pec",
    "host": "smtps.pec.example",
    "port": 465,
    "user": "shop@pec.example",
    "password": "s3cret-smtp",
    "is_pec_account": True,
    "imap_host": "imaps.pec.example",
}
SECRET = "s3cret-imap"
MAIL = {"id": "m", "account_id": "pec", "from": "shop@pec.example", "subject": "s", "body": "b"}
TO = ["mario@pec.example.org"]


async def shown(client: Client, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await client.ok("GET", "/account/pec", **options))["account"]
    return found


async def test_the_fields_are_stored_and_secrets_masked(idle: Client) -> None:
    given = {"imap_user": "u", "imap_password": SECRET, "imap_folder": "PEC", "imap_port": 1993}
    await idle.ok("POST", "/account", {**ACCOUNT, **given})
    account = await shown(idle)
    assert account["imap_password"] == "********"
    assert (account["is_pec_account"], account["imap_host"], account["imap_port"]) == (
        True,
        "imaps.pec.example",
        1993,
    )
    assert (account["imap_user"], account["imap_folder"]) == ("u", "PEC")
    await idle.ok("POST", "/account", {"id": "pec", "imap_password": "********", "imap_user": None})
    assert (await shown(idle))["imap_password"] == "********"
    audit = await idle.ok("GET", "/command-log")
    assert SECRET not in str(audit)
    assert SECRET not in str(await idle.ok("GET", "/accounts"))


async def test_defaults_are_shown(idle: Client) -> None:
    await idle.ok("POST", "/account", ACCOUNT)
    account = await shown(idle)
    assert (account["imap_port"], account["imap_folder"]) == (993, "INBOX")
    assert (account["imap_user"], account["imap_password"]) == (None, None)
    await idle.ok("POST", "/account", {"id": "plain", "host": "smtp.example"})
    plain = (await idle.ok("GET", "/account/plain"))["account"]
    assert (plain["is_pec_account"], plain["imap_port"]) == (False, None)


@ONE_DATABASE
@pytest.mark.parametrize(
    ("before", "change", "secret"),
    [
        ({"imap_password": SECRET}, {"imap_host": "evil.example"}, "imap_password"),
        ({"imap_password": SECRET}, {"imap_port": 143}, "imap_password"),
        ({"imap_password": SECRET}, {"imap_tls": "starttls"}, "imap_password"),
        # Without a password of its own, the mailbox gets that of SMTP.
        ({}, {"imap_host": "evil.example"}, "password"),
        ({"imap_password": SECRET}, {"imap_password": None}, "password"),
        ({"imap_host": None}, {"imap_host": "evil.example"}, "password"),
    ],
)
async def test_a_stored_secret_goes_only_where_it_was_given_for(
    idle: Client, before: dict[str, Any], change: dict[str, Any], secret: str
) -> None:
    await idle.ok("POST", "/account", {**ACCOUNT, **before})
    answer = await idle("POST", "/account", {"id": "pec", **change})
    assert answer.status_code == 422
    assert [wrong["field"] for wrong in answer.json()["detail"]] == [secret]
    await idle.ok("POST", "/account", {"id": "pec", **change, secret: "given again"})


@ONE_DATABASE
async def test_no_password_goes_in_the_clear(idle: Client) -> None:
    answer = await idle("POST", "/account", {**ACCOUNT, "imap_port": 143, "imap_tls": "none"})
    assert answer.status_code == 422
    assert [wrong["field"] for wrong in answer.json()["detail"]] == ["imap_tls"]
    allowed = {"imap_port": 143, "imap_tls": "none", "allow_insecure_auth": True}
    await idle.ok("POST", "/account", {**ACCOUNT, **allowed})


@ONE_DATABASE
async def test_a_tenant_key_reaches_public_imap_hosts_only(
    client: Client, smtp: ScriptedSmtpServer, config: Any
) -> None:
    """The administrator may choose any host; a tenant's change of it ends that."""
    key = await client.tenant("acme")
    account = {**ACCOUNT, "host": smtp.host, "port": smtp.port, "tls": "none"}
    place = {"imap_host": "10.1.2.3", "imap_port": 993}
    body = {**account, **place, "user": None, "imap_user": "u", "imap_password": SECRET}
    await client.ok("POST", "/account", body, token=key)
    answer = await client.ok("POST", "/account/pec/test", token=key)
    (mailbox,) = [step for step in answer["steps"] if step["step"] == "mailbox"]
    assert not mailbox["ok"]
    assert "no public address" in mailbox["detail"]


@ONE_DATABASE
@pytest.mark.parametrize(
    ("change", "ok", "words"),
    [
        ({}, True, "INBOX has 0 mails"),
        ({"imap_password": "wrong"}, False, "login"),
        ({"imap_folder": "Missing"}, False, "select"),
        ({"imap_port": 1}, False, "connect"),
    ],
)
async def test_an_account_test_opens_the_mailbox(
    client: Client,
    smtp: ScriptedSmtpServer,
    dovecot: Dovecot,
    change: dict[str, Any],
    ok: bool,
    words: str,
) -> None:
    body = {
        "id": "pec",
        "host": smtp.host,
        "port": smtp.port,
        "tls": "none",
        "is_pec_account": True,
        "imap_host": "127.0.0.1",
        "imap_port": dovecot.port,
        "imap_user": "test-of-an-account",
        "imap_password": PASSWORD,
        **change,
    }
    answer = await client.ok("POST", "/account/test", body)
    step = answer["steps"][-1]
    assert (answer["ok"], step["step"], step["ok"]) == (ok, "mailbox", ok)
    assert words in step["detail"]
    assert ok or step["hint"]
    assert PASSWORD not in str(answer)


RAW = base64.b64encode(
    b"From: shop@pec.example\r\nTo: mario@pec.example.org\r\nBcc: b@c.example\r\n"
    b"Subject: s\r\n\r\nbody\r\n"
).decode()


@ONE_DATABASE
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"to": TO, "return_path": "bounces@pec.example"}, "return_path: the envelope sender"),
        ({"to": TO, "return_path": ""}, "return_path: the envelope sender"),
        ({"to": TO, "bcc": ["b@c.example"]}, "bcc: "),
        ({"to": ["a@b.example", "c@d.example"], "body": "x" * 15_500_000}, "make 31.00 MB"),
        (
            {
                "to": [f"a{n}@b.example" for n in range(20)],
                "attachments": [
                    {
                        "filename": "f.pdf",
                        "storage_path": "base64:" + base64.b64encode(bytes(1_200_000)).decode(),
                    }
                ],
            },
            "20 recipients make",
        ),
        ({"raw": RAW}, "bcc: "),
        ({"raw": RAW.replace("\n", ""), "from": "other@pec.example", "to": TO}, "return_path: "),
    ],
    ids=["return path", "null path", "bcc", "size", "attachment", "raw bcc", "raw sender"],
)
async def test_a_message_that_is_no_pec_is_rejected_by_name(
    idle: Client, change: dict[str, Any], words: str
) -> None:
    await idle.ok("POST", "/account", ACCOUNT)
    raw = {k: v for k, v in MAIL.items() if k in ("id", "account_id")}
    message = {**(raw if "raw" in change else MAIL), **change}
    good = {**MAIL, "id": "good", "to": TO}
    answer = await idle.ok("POST", "/commands/add-messages", {"messages": [message, good]})
    (rejected,) = answer["rejected"]
    assert (rejected["id"], rejected["code"], answer["queued"]) == ("m", "not_for_pec", 1)
    assert words in rejected["reason"]
    # Another account takes it.
    answer = await idle.ok(
        "POST", "/commands/add-messages", {"messages": [{**message, "account_id": "smtp"}]}
    )
    assert answer["queued"] == 1


@ONE_DATABASE
async def test_what_is_known_at_the_send_only_is_checked_there(
    client: Client, smtp: ScriptedSmtpServer, config: Any
) -> None:
    """A body grows when it is composed; the bounce mailbox's return path is not used."""
    place = {"imap_host": "127.0.0.1", "imap_port": 1, "imap_user": "u", "imap_password": "p"}
    mailbox = {"enabled": True, "return_path": "bounces@example.org", **place}
    await client.ok("PUT", "/instance/bounce", mailbox)
    await client.account(smtp)
    await client.account(smtp, id="pec", is_pec_account=True)
    many = [f"a{n}@b.example" for n in range(10)]
    await client.add("fits", account_id="pec", to=TO)
    # In quoted-printable or base64 these characters take more than in UTF-8.
    await client.add("grows", account_id="pec", to=many, body="è" * 1_600_000)
    await client.in_state("sent", "fits")
    await client.in_state("error", "grows")
    await client.add("other", account_id="smtp", to=TO)
    await client.in_state("sent", "other")
    assert "pec_max_mb" in (await client.message("grows"))["error"]
    pec, other = [mail.mail_from for mail in smtp.accepted]
    assert pec == "a@example.org"
    assert other.startswith("bounces+")
