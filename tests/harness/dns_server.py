"""A DNS server on loopback that answers queries from dictionaries, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

_TXT_STRING = 255


@dataclass
class DnsServer(asyncio.DatagramProtocol):
    """``records``: the TXT records of each name (without the last dot).

    ``others``: records by name and type, such as ``("example.org", "MX")``.

    ``rcode`` is answered to every query; with ``is_silent`` there is no answer. Over UDP an
    answer that is too long is cut off, so that the client asks again over TCP.
    """

    records: dict[str, list[str]] = field(default_factory=dict)
    others: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    is_silent: bool = False
    queries: int = 0
    port: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        answer = self._answer(data)
        if answer is None:
            return
        wire = answer.to_wire(max_size=65_535)
        if len(wire) > 512:
            answer.answer.clear()
            answer.flags |= dns.flags.TC
            wire = answer.to_wire()
        self._transport.sendto(wire, address)

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        answer = self._answer(await reader.readexactly(length))
        if answer is not None:
            wire = answer.to_wire(max_size=65_535)
            writer.write(len(wire).to_bytes(2, "big") + wire)
        writer.close()
        await writer.wait_closed()

    def _answer(self, query_octets: bytes) -> dns.message.Message | None:
        self.queries += 1
        if self.is_silent:
            return None
        query = dns.message.from_wire(query_octets)
        answer = dns.message.make_response(query)
        answer.set_rcode(self.rcode)
        name, kind = query.question[0].name, query.question[0].rdtype
        plain = name.to_text(omit_final_dot=True)
        known = {(name, "TXT"): [_quoted(t) for t in texts] for name, texts in self.records.items()}
        known.update(self.others)
        if self.rcode == dns.rcode.NOERROR and not any(plain == named for named, _ in known):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif found := known.get((plain, dns.rdatatype.to_text(kind))):
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *found))
        return answer


@asynccontextmanager
async def dns_server() -> AsyncIterator[DnsServer]:
    server = DnsServer()
    loop = asyncio.get_running_loop()
    tcp = await asyncio.start_server(server.serve_tcp, "127.0.0.1", 0)
    server.port = tcp.sockets[0].getsockname()[1]
    udp, _ = await loop.create_datagram_endpoint(
        lambda: server, local_addr=("127.0.0.1", server.port)
    )
    try:
        yield server
    finally:
        udp.close()
        tcp.close()
        await tcp.wait_closed()


def _quoted(text: str) -> str:
    pieces = [text[i : i + _TXT_STRING] for i in range(0, len(text), _TXT_STRING)]
    return " ".join(f'"{piece}"' for piece in pieces)
