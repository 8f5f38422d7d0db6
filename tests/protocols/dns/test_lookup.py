"""TXT records are read from a real DNS server, over UDP and TCP, within bounds."""

from __future__ import annotations

import dns.rcode
import pytest
from tests.harness import dkim_mails
from tests.harness.dns_server import dns_server

from mail_proxy.features.dkim.keys import publishes_same_key, record_value
from mail_proxy.network.dns_records import DnsRecords, LookupFailed

NAME = "gmp1._domainkey.example.org"


async def test_strings_of_a_long_record_are_joined() -> None:
    value = record_value(dkim_mails.private_keys()["rsa"])
    async with dns_server() as server:
        server.records[NAME] = [value]
        assert await DnsRecords([server.address]).texts(NAME) == [value]
    assert publishes_same_key(value, value)


async def test_an_answer_that_does_not_fit_udp_is_fetched_over_tcp() -> None:
    records = [f"{n}" + "x" * 400 for n in range(5)]
    async with dns_server() as server:
        server.records[NAME] = records
        assert await DnsRecords([server.address]).texts(NAME) == records
        assert server.queries == 2


async def test_records_are_bounded() -> None:
    async with dns_server() as server:
        server.records[NAME] = [f"{n:02}" + "x" * 3000 for n in range(15)]
        found = await DnsRecords([server.address]).texts(NAME)
    assert len(found) == 10
    assert {len(record) for record in found} == {2000}


async def test_a_name_that_does_not_exist_has_no_records() -> None:
    async with dns_server() as server:
        server.records["empty.example.org"] = []
        records = DnsRecords([server.address])
        assert await records.texts(NAME) == []
        assert await records.texts("empty.example.org") == []


async def test_a_server_that_refuses_is_an_error() -> None:
    async with dns_server() as server:
        server.rcode = dns.rcode.REFUSED
        with pytest.raises(LookupFailed, match="NoNameservers"):
            await DnsRecords([server.address]).texts(NAME)


async def test_a_silent_server_is_given_up_after_the_timeout() -> None:
    async with dns_server() as server:
        server.is_silent = True
        with pytest.raises(LookupFailed, match=r"no answer within 0\.2 seconds"):
            await DnsRecords([server.address], timeout_seconds=0.2).texts(NAME)
