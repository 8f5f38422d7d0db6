"""DKIM keys over REST: add, list, delete, compare with the DNS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.harness import dkim_mails
from tests.harness.dns_server import DnsServer, dns_server
from tests.protocols.rest.client import ONE_DATABASE, Client, serving

from mail_proxy.config import ProxyConfig
from mail_proxy.features.dkim.keys import record_value
from mail_proxy.features.dkim.table import DkimKeysTable
from mail_proxy.sql import SqlDb
from mail_proxy.sql.table import EVERY_TENANT
from mail_proxy.sql.tables import Tables

ED = {"domain": "example.org", "algorithm": "ed25519-sha256"}


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    async with dns_server() as server:
        yield server


@pytest.fixture
async def asking(config: ProxyConfig, dns: DnsServer) -> AsyncIterator[Client]:
    """A service that asks the test's DNS server."""
    changes = {"scheduler_active": False, "dns_servers": (dns.address,)}
    async with serving(config.model_copy(update=changes)) as client:
        yield client


async def stored(db: SqlDb, tables: Tables) -> list[dict[str, Any]]:
    table = tables.of_feature(DkimKeysTable)
    return await db.read(lambda c: table.select(c, tenant_id=EVERY_TENANT))


@pytest.mark.parametrize("algorithm", ["rsa-sha256", "ed25519-sha256"])
async def test_a_new_key_is_made_and_only_its_public_half_is_shown(
    idle: Client, db: SqlDb, tables: Tables, algorithm: str
) -> None:
    body = {"domain": "Example.ORG", "algorithm": algorithm}
    response = await idle("POST", "/dkim", body)
    assert response.status_code == 200
    answer = response.json()
    assert (answer["ok"], answer["domain"], answer["selector"]) == (True, "example.org", "gmp1")
    assert answer["dns"]["name"] == "gmp1._domainkey.example.org"
    assert answer["dns"]["type"] == "TXT"
    listed = await idle("GET", "/dkim")
    (key,) = listed.json()["keys"]
    assert key["dns"] == answer["dns"]
    assert key["algorithm"] == algorithm
    assert "PRIVATE" not in response.text + listed.text


async def test_the_default_algorithm_is_rsa(idle: Client) -> None:
    answer = await idle.ok("POST", "/dkim", {"domain": "example.org"})
    assert answer["dns"]["value"].startswith("v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A")


async def test_selectors_count_on_and_are_not_used_twice(idle: Client) -> None:
    selectors = [(await idle.ok("POST", "/dkim", ED))["selector"] for _ in range(3)]
    assert selectors == ["gmp1", "gmp2", "gmp3"]
    await idle.ok("DELETE", "/dkim/example.org/gmp1")
    assert (await idle.ok("POST", "/dkim", ED))["selector"] == "gmp4"
    other = await idle.ok("POST", "/dkim", {**ED, "domain": "example.com"})
    assert other["selector"] == "gmp1"
    response = await idle("POST", "/dkim", {**ED, "selector": "GMP2"})
    assert response.status_code == 409
    assert response.json()["error"] == "the domain has a DKIM key with the selector gmp2 already"


async def test_an_imported_key_is_sealed_and_masked(
    idle: Client, db: SqlDb, tables: Tables, config: ProxyConfig
) -> None:
    pem = dkim_mails.private_keys()["ed"]
    answer = await idle.ok("POST", "/dkim", {**ED, "selector": "s1", "private_key": pem})
    assert answer["dns"]["value"] == record_value(pem)
    sealed = "SELECT private_key FROM dkim_key"
    (text,) = await db.read(lambda c: c.exec_driver_sql(sealed).scalars().all())
    assert text.startswith("ENC:")
    rows = await db.read(lambda c: tables.command_log.select(c, tenant_id=EVERY_TENANT))
    (row,) = [row for row in rows if row["operation"] == "dkim.create"]
    assert row["payload"]["private_key"] == "********"
    assert "PRIVATE" not in str(rows)


@ONE_DATABASE
@pytest.mark.parametrize(
    ("fields", "field", "text"),
    [
        ({"private_key": "secret"}, "private_key", "is not an unencrypted private key"),
        ({"algorithm": "rsa-sha256"}, "private_key", "is a key for ed25519-sha256"),
        ({"private_key": "x" * 5000}, "private_key", "too long; allowed: 4096"),
        ({"domain": "a@example.org"}, "domain", "is not a domain"),
        ({"domain": "[127.0.0.1]"}, "domain", "is not a domain"),
        ({"domain": ""}, "domain", "must not be empty"),
        ({"selector": "a b"}, "selector", "no dash at either end"),
        ({"selector": ""}, "selector", "no dash at either end"),
        ({"algorithm": "rsa-sha1"}, "algorithm", "rsa-sha256"),
        ({"domain": f"{'a' * 60}." * 4 + "org"}, "body", "too long"),
        ({"unheard_of": 1}, "unheard_of", "unknown field"),
    ],
)
async def test_a_key_that_cannot_be_used_is_refused_and_not_repeated(
    idle: Client, fields: dict[str, Any], field: str, text: str
) -> None:
    body = {**ED, "private_key": dkim_mails.private_keys()["ed"], **fields}
    response = await idle("POST", "/dkim", body)
    assert response.status_code == 422, response.text
    (detail,) = response.json()["detail"]
    assert detail["field"] == field
    assert text in response.text
    assert "secret" not in response.text
    assert "PRIVATE" not in response.text
    assert (await idle.ok("GET", "/dkim"))["keys"] == []


@ONE_DATABASE
async def test_a_domain_is_named_as_mail_addresses_name_it(idle: Client) -> None:
    answer = await idle.ok("POST", "/dkim", {**ED, "domain": "münchen.example"})
    assert answer["domain"] == "xn--mnchen-3ya.example"
    await idle.ok("DELETE", "/dkim/m%C3%BCnchen.example/gmp1")


@ONE_DATABASE
async def test_the_number_of_keys_of_a_domain_is_bounded(idle: Client) -> None:
    for _ in range(10):
        await idle.ok("POST", "/dkim", ED)
    response = await idle("POST", "/dkim", ED)
    assert response.status_code == 409
    assert "allowed: 10 for a domain" in response.json()["error"]
    # The bound comes before the work on the key, which may take a second.
    response = await idle("POST", "/dkim", {**ED, "private_key": "none"})
    assert response.status_code == 409


async def test_a_key_that_is_removed_or_was_never_there_is_not_found(idle: Client) -> None:
    await idle.ok("POST", "/dkim", ED)
    await idle.ok("DELETE", "/dkim/example.org/gmp1")
    for method, path in (
        ("DELETE", "/dkim/example.org/gmp1"),
        ("POST", "/dkim/example.org/gmp1/check"),
    ):
        assert (await idle(method, path)).status_code == 404
    assert (await idle("DELETE", "/dkim/a%40b/gmp1")).status_code == 422
    assert (await idle.ok("GET", "/dkim"))["keys"] == []


async def test_the_tenant_is_named_in_the_query_or_in_the_body(idle: Client) -> None:
    await idle.tenant("t")
    await idle.ok("POST", "/dkim?tenant_id=t", ED)
    await idle.ok("POST", "/dkim", {**ED, "tenant_id": "t"})
    assert len((await idle.ok("GET", "/dkim?tenant_id=t"))["keys"]) == 2
    assert (await idle.ok("GET", "/dkim?tenant_id=default"))["keys"] == []
    response = await idle("POST", "/dkim?tenant_id=t", {**ED, "tenant_id": "default"})
    assert response.status_code == 422
    await idle.ok("DELETE", "/tenant/t")
    assert (await idle.ok("GET", "/dkim"))["keys"] == []


async def test_a_key_is_compared_with_the_dns(asking: Client, dns: DnsServer) -> None:
    created = await asking.ok("POST", "/dkim", {"domain": "example.org"})
    name, value = created["dns"]["name"], created["dns"]["value"]
    path = "/dkim/example.org/gmp1/check"
    nothing = {"ok": True, "matches": False, "expected": value, "found": [], "error": None}
    assert await asking.ok("POST", path) == nothing
    dns.records[name] = ["v=DKIM1; p="]
    assert await asking.ok("POST", path) == {**nothing, "found": ["v=DKIM1; p="]}
    dns.records[name] = ["something else", value]
    answer = await asking.ok("POST", path)
    assert answer == {**nothing, "matches": True, "found": ["something else", value]}


@ONE_DATABASE
async def test_a_dns_that_does_not_answer_is_named(asking: Client, dns: DnsServer) -> None:
    import dns.rcode as rcodes

    await asking.ok("POST", "/dkim", ED)
    dns.rcode = rcodes.REFUSED
    answer = await asking.ok("POST", "/dkim/example.org/gmp1/check")
    assert (answer["ok"], answer["matches"], answer["found"]) == (False, False, [])
    assert answer["error"] == "the DNS gave no answer: NoNameservers"
