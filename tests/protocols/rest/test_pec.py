"""Certified mail (PEC) from hand-over to receipts, with a real mailbox."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.harness.imap_server import PASSWORD, Dovecot
from tests.harness.patience import PATIENCE_SECONDS
from tests.protocols.rest.client import Client, eventually, serving

from mail_proxy.config import PecConfig, ProxyConfig
from mail_proxy.testing.pec_receipts import PecReceipts
from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import SyncEndpoint

MARIO, GIULIA = "mario@pec.example.org", "giulia@pec.example.net"
MAIL = {"from": "shop@pec.example.com", "to": [MARIO, GIULIA], "subject": "Fattura n. 17"}


@pytest.fixture(scope="module")
def receipts() -> PecReceipts:
    return PecReceipts()


@pytest.fixture
def user() -> str:
    return f"pec-{uuid4().hex[:12]}"


@pytest.fixture
def pec_config(config: ProxyConfig, tmp_path: Path, receipts: PecReceipts) -> ProxyConfig:
    authorities = tmp_path / "authorities.pem"
    authorities.write_bytes(receipts.authority)
    pec = PecConfig(receipts_dir=tmp_path / "receipts", pec_ca_file=authorities)
    return config.model_copy(update={"pec": pec})


def with_timeout(config: ProxyConfig, seconds: float) -> ProxyConfig:
    pec = config.pec.model_copy(update={"pec_acceptance_timeout": seconds})
    return config.model_copy(update={"pec": pec})


def account(smtp: ScriptedSmtpServer, dovecot: Dovecot, user: str) -> dict[str, Any]:
    return {
        "id": "pec",
        "host": smtp.host,
        "port": smtp.port,
        "tls": "none",
        "is_pec_account": True,
        "imap_host": "127.0.0.1",
        "imap_port": dovecot.port,
        "imap_user": user,
        "imap_password": PASSWORD,
    }


@pytest.fixture
async def client(
    pec_config: ProxyConfig,
    smtp: ScriptedSmtpServer,
    endpoint: SyncEndpoint,
    dovecot: Dovecot,
    user: str,
) -> AsyncIterator[Client]:
    async with serving(pec_config) as client:
        await client.ok("PUT", "/tenant/default", {"client_base_url": endpoint.url})
        await client.ok("POST", "/account", account(smtp, dovecot, user))
        yield client


async def events(client: Client, id_: str) -> list[dict[str, Any]]:
    found = await client.events(id_)
    return [e for e in found if e["event_type"].startswith("pec_")]


async def kinds(client: Client, id_: str) -> list[str]:
    return [e["event_type"] for e in await events(client, id_)]


async def with_events(client: Client, id_: str, count: int) -> list[dict[str, Any]]:
    """The PEC events of a message, once there are so many."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(found := await events(client, id_)) < count:
            await asyncio.sleep(0.02)
    assert len(found) == count
    return found


async def states(client: Client, id_: str) -> dict[str, str]:
    pec = (await client.message(id_))["pec"]
    return {each["address"]: each["status"] for each in pec["recipients"]}


async def test_two_recipients_of_which_one_fails(
    client: Client,
    smtp: ScriptedSmtpServer,
    endpoint: SyncEndpoint,
    dovecot: Dovecot,
    user: str,
    receipts: PecReceipts,
    tmp_path: Path,
) -> None:
    await client.add("m", **MAIL)
    await client.in_state("sent", "m")
    sent = smtp.accepted[0].data
    assert smtp.accepted[0].mail_from == "shop@pec.example.com"
    delivered = receipts.about(sent, "avvenuta-consegna", recipient=MARIO)
    refused = receipts.about(
        sent, "errore-consegna", recipient=GIULIA, error="no-dest", reason="5.1.1 - sconosciuto"
    )
    person = b"From: a@b.example\r\nSubject: hello\r\n\r\nX-Ricevuta: accettazione\r\n"
    mails = [receipts.about(sent, "accettazione"), person, delivered, refused]
    await asyncio.to_thread(dovecot.append, user, *mails)
    accepted, delivery, error = await with_events(client, "m", 3)
    assert [accepted["event_type"], delivery["event_type"], error["event_type"]] == [
        "pec_acceptance",
        "pec_delivery",
        "pec_error",
    ]
    assert accepted["event_data"]["recipient"] is None
    data = error["event_data"]
    assert (data["receipt_type"], data["recipient"]) == ("errore-consegna", GIULIA)
    assert (data["error"], data["error_reason"]) == ("no-dest", "5.1.1 - sconosciuto")
    assert data["provider"] == "Gestore PEC Example S.p.A."
    assert data["timestamp"].endswith("+00:00")
    assert data["identifier"].endswith("@pec.example.org")
    assert data["receipt_message_id"].encode() in refused
    assert {e["event_data"]["signature"] for e in (accepted, delivery, error)} == {"valid"}
    assert await states(client, "m") == {MARIO: "delivered", GIULIA: "error"}
    await reported(endpoint, "m")
    await archived(client, [mails[0], delivered, refused], tmp_path)

    async def is_settled() -> bool:
        # Receipts stay as seen, and the mail of a person is not touched.
        flags = await asyncio.to_thread(dovecot.flags, user)
        return flags == {1: b"\\Seen", 2: b"", 3: b"\\Seen", 4: b"\\Seen"}

    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await is_settled():
            await asyncio.sleep(0.02)


async def reported(endpoint: SyncEndpoint, id_: str) -> None:
    """The application gets the delivery with the fields of the contract."""

    def entries() -> list[dict[str, Any]]:
        found = [e for call in endpoint.calls for e in call.reports if e["id"] == id_]
        return [e for e in found if e.get("pec_event") == "pec_delivery"]

    await eventually(lambda: bool(entries()))
    (entry,) = entries()
    assert entry["recipient"] == MARIO
    assert isinstance(entry["pec_ts"], int)
    assert entry["pec_details"]["receipt_type"] == "avvenuta-consegna"


async def archived(client: Client, mails: list[bytes], folder: Path) -> None:
    """Each receipt is archived byte for byte, and only for who may see its message."""
    listed = (await client.ok("GET", "/messages/m/receipts"))["receipts"]
    digests = {hashlib.sha256(mail).hexdigest(): mail for mail in mails}
    assert {each["sha256"] for each in listed} == digests.keys()
    for each in listed:
        mail = digests[each["sha256"]]
        path = f"/messages/m/receipts/{each['sha256']}"
        answer = await client("GET", path)
        assert answer.content == mail
        assert answer.headers["content-type"].startswith("message/rfc822")
        file = folder / "receipts" / each["sha256"][:2] / f"{each['sha256']}.eml"
        assert file.read_bytes() == mail
        assert file.stat().st_mode & 0o777 == 0o600
    key = await client.tenant("other")
    assert (await client("GET", "/messages/m/receipts", token=key)).status_code == 404
    assert (await client("GET", path, token=key)).status_code == 404


@pytest.mark.parametrize(
    ("kind", "event", "status"),
    [
        ("accettazione", "pec_acceptance", "accepted"),
        ("avvenuta-consegna", "pec_delivery", "delivered"),
        ("presa-in-carico", "pec_relay", "relayed"),
        ("preavviso-errore-consegna", "pec_warning", "warning"),
        ("non-accettazione", "pec_error", "error"),
        ("errore-consegna", "pec_error", "error"),
        ("mancata-consegna", "pec_error", "error"),
        ("rilevazione-virus", "pec_error", "error"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_every_type_of_receipt_is_its_event(
    client: Client,
    smtp: ScriptedSmtpServer,
    dovecot: Dovecot,
    user: str,
    receipts: PecReceipts,
    kind: str,
    event: str,
    status: str,
) -> None:
    await client.add("m", **{**MAIL, "to": [MARIO]})
    await client.in_state("sent", "m")
    mail = receipts.about(smtp.accepted[0].data, kind)
    await asyncio.to_thread(dovecot.append, user, mail)
    (found,) = await with_events(client, "m", 1)
    assert (found["event_type"], found["event_data"]["receipt_type"]) == (event, kind)
    assert found["event_data"]["recipient"] == MARIO
    assert await states(client, "m") == {MARIO: status}


async def test_forged_receipts_and_those_of_others_change_nothing(
    client: Client, smtp: ScriptedSmtpServer, dovecot: Dovecot, user: str, receipts: PecReceipts
) -> None:
    await client.add("m", "later", **MAIL)
    await client.in_state("sent", "m", "later")
    mails = {_tracking_id(mail.data): mail.data for mail in smtp.accepted}
    sent = mails[b"m"]
    receipt = receipts.about(sent, "avvenuta-consegna", recipient=MARIO)
    forged = [
        receipts.envelope(receipt, sender="evil@example.com", to="shop@pec.example.com"),
        b"X-Trasporto: errore\r\n" + receipt,
        receipts.about(sent.replace(b"Message-ID: <", b"Message-ID: <x"), "accettazione"),
        PecReceipts().about(sent, "avvenuta-consegna", recipient=MARIO),
    ]
    last = receipts.about(mails[b"later"], "accettazione")
    await asyncio.to_thread(dovecot.append, user, *forged, last)
    await with_events(client, "later", 1)
    # The one with a wrong signature is kept and said to be wrong; it is believed in nothing.
    (event,) = await events(client, "m")
    assert event["event_data"]["signature"] == "invalid"
    assert await states(client, "m") == {}
    flags = await asyncio.to_thread(dovecot.flags, user)
    assert [flags[uid] for uid in (1, 2, 3)] == [b"", b"", b""]


def _tracking_id(mail: bytes) -> bytes:
    return mail.partition(b"X-Genro-Mail-ID: ")[2].split()[0]


async def test_a_receipt_that_is_faster_than_the_outcome(
    client: Client, smtp: ScriptedSmtpServer, dovecot: Dovecot, user: str, receipts: PecReceipts
) -> None:
    """The provider's receipt is read while its answer to the end of data is still missing."""
    smtp.on("end of data", Act.SILENCE, times=1)
    await client.add("m", **MAIL)
    await smtp.wait_until(lambda: any(line == "DATA" for _, line in smtp.commands))
    shown = await client.message("m")
    original = (
        f"From: {shown['from']}\r\nTo: {MARIO}, {GIULIA}\r\nSubject: s\r\n"
        f"Message-ID: {shown['message_id']}\r\n\r\n\r\n"
    ).encode()
    await asyncio.to_thread(dovecot.append, user, receipts.about(original, "accettazione"))
    await with_events(client, "m", 1)
    assert (await client.message("m"))["status"] == "sending"
    await smtp.drop_connections()  # now the outcome is uncertain
    await client.in_state("sent", "m")
    found = [e["event_type"] for e in await client.events("m")]
    assert found == ["queued", "pec_acceptance", "error", "sent"]
    assert smtp.connections == 1


async def test_an_uncertain_message_is_held_until_its_acceptance_arrives(
    client: Client, smtp: ScriptedSmtpServer, dovecot: Dovecot, user: str, receipts: PecReceipts
) -> None:
    smtp.on("end of data", Act.DROP, times=1)
    await client.add("m", **MAIL)
    await client.in_state("error", "m")
    shown = await client.message("m")
    assert shown["error"].startswith("uncertain")
    original = (
        f"From: {shown['from']}\r\nTo: {MARIO}, {GIULIA}\r\nSubject: s\r\n"
        f"Message-ID: {shown['message_id']}\r\n\r\n\r\n"
    ).encode()
    await asyncio.to_thread(dovecot.append, user, receipts.about(original, "accettazione"))
    await client.in_state("sent", "m")
    shown = await client.message("m")
    assert (shown["error"], shown["recipients"]) == (None, None)
    assert smtp.accepted == []
    answer = await client.ok("POST", "/commands/retry-messages", {"ids": ["m"]})
    assert answer["requeued"] == 0


async def test_an_acceptance_that_is_late(
    pec_config: ProxyConfig,
    smtp: ScriptedSmtpServer,
    dovecot: Dovecot,
    user: str,
    receipts: PecReceipts,
) -> None:
    async with serving(with_timeout(pec_config, 0.2)) as client:
        await client.ok("POST", "/account", account(smtp, dovecot, user))
        await client.add("m", **MAIL)
        (timeout,) = await with_events(client, "m", 1)
        assert timeout["event_type"] == "pec_timeout"
        assert (await client.message("m"))["pec"]["timed_out_ts"] is not None
        late = receipts.about(smtp.accepted[0].data, "accettazione")
        await asyncio.to_thread(dovecot.append, user, late)
        await with_events(client, "m", 2)
        shown = await client.message("m")
        assert shown["pec"]["accepted_ts"] is not None
        assert await states(client, "m") == {MARIO: "accepted", GIULIA: "accepted"}
        # An acceptance in time leaves nothing to wait for.
        assert await kinds(client, "m") == ["pec_timeout", "pec_acceptance"]


async def test_each_receipt_is_handled_once_over_restarts_in_the_middle(
    pec_config: ProxyConfig,
    smtp: ScriptedSmtpServer,
    dovecot: Dovecot,
    user: str,
    receipts: PecReceipts,
) -> None:
    ids = [f"m{number}" for number in range(40)]
    async with serving(pec_config) as client:
        await client.account(smtp, id="pec", is_pec_account=True)
        await client.add(*ids, **{**MAIL, "to": [MARIO]})
        await client.in_state("sent", *ids)
    mails = [receipts.about(mail.data, "accettazione") for mail in smtp.accepted]
    mails += [receipts.about(mail.data, "avvenuta-consegna") for mail in smtp.accepted]
    await asyncio.to_thread(dovecot.append, user, *mails)
    handled = 0
    while handled < len(mails):
        async with serving(pec_config) as client:
            await client.ok("POST", "/account", account(smtp, dovecot, user))

            async def total(client: Client = client) -> int:
                return sum([len(await events(client, id_)) for id_ in ids])

            async with asyncio.timeout(PATIENCE_SECONDS):
                while await total() <= handled:
                    await asyncio.sleep(0.02)
            handled = await total()
    await asyncio.to_thread(dovecot.recreate, user, "Copy", mails)
    async with serving(pec_config) as client:
        await client.ok("POST", "/account", {**account(smtp, dovecot, user), "imap_folder": "Copy"})

        async def is_read() -> bool:
            flags = await asyncio.to_thread(dovecot.flags, user, "Copy")
            return set(flags.values()) == {b"\\Seen"}

        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await is_read():
                await asyncio.sleep(0.05)
        assert [len(await events(client, id_)) for id_ in ids] == [2] * len(ids)


async def test_two_processes_handle_each_receipt_once(
    pec_config: ProxyConfig,
    smtp: ScriptedSmtpServer,
    dovecot: Dovecot,
    user: str,
    receipts: PecReceipts,
) -> None:
    ids = [f"m{number}" for number in range(10)]
    async with serving(pec_config) as one, serving(pec_config) as other:
        await one.ok("POST", "/account", account(smtp, dovecot, user))
        # Two accounts of one tenant may have one mailbox.
        await one.ok("POST", "/account", {**account(smtp, dovecot, user), "id": "same"})
        await other.add(*ids, **{**MAIL, "to": [MARIO], "account_id": "pec"})
        await one.in_state("sent", *ids)
        mails = [receipts.about(mail.data, "accettazione") for mail in smtp.accepted]
        await asyncio.to_thread(dovecot.append, user, *mails)
        for id_ in ids:
            await with_events(one, id_, 1)
        last = receipts.about(smtp.accepted[0].data, "avvenuta-consegna")
        await asyncio.to_thread(dovecot.append, user, last)
        first = smtp.accepted[0].data.partition(b"X-Genro-Mail-ID: ")[2].split()[0].decode()
        await with_events(other, first, 2)
        counts = [len(await events(one, id_)) for id_ in ids if id_ != first]
        assert counts == [1] * (len(ids) - 1)
