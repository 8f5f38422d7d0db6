"""DNS look-ups: TXT and MX records, and whether a name has an address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver

_LONGEST_SECONDS = 5.0
#: A selector has one record; others are shown so that one sees what is there by mistake.
_MOST_RECORDS = 10
#: The record of the longest key has 572 characters.
_LONGEST_RECORD = 2000


class LookupFailed(Exception):
    """The DNS gave no answer; the text says why."""


class DnsRecords:
    """Asks the name servers of the host, or others, for records."""

    def __init__(
        self,
        servers: Sequence[str] = (),
        timeout_seconds: float = _LONGEST_SECONDS,
    ) -> None:
        """``servers`` are addresses with or without a port; default: /etc/resolv.conf."""
        self._servers = servers
        self._timeout_seconds = timeout_seconds

    async def texts(self, name: str) -> list[str]:
        """Return at most ten TXT records of at most 2000 characters, within the timeout.

        The strings of a record are joined (RFC 6376 section 3.6.2.2). What is not ASCII is
        replaced. Raises LookupFailed.
        """
        records = (b"".join(record.strings) for record in await self._find(name, "TXT"))
        texts = sorted(r[:_LONGEST_RECORD].decode("ascii", "replace") for r in records)
        return texts[:_MOST_RECORDS]

    async def mail_servers(self, domain: str) -> list[str]:
        """Return the hosts of at most ten MX records, the preferred one first.

        A single ``.`` says that the domain takes no mail (RFC 7505). Raises LookupFailed.
        """
        found = sorted(await self._find(domain, "MX"), key=lambda record: int(record.preference))
        return [record.exchange.to_text(omit_final_dot=True) or "." for record in found][
            :_MOST_RECORDS
        ]

    async def has_address(self, name: str) -> bool:
        """Return whether the name has an A or AAAA record. Raises LookupFailed."""
        return any([await self._find(name, kind) for kind in ("A", "AAAA")])

    async def _find(self, name: str, kind: str) -> Sequence[Any]:
        try:
            answer = await self._resolver().resolve(
                f"{name}.", kind, lifetime=self._timeout_seconds, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN:
            return []
        except dns.exception.Timeout:
            raise LookupFailed(f"no answer within {self._timeout_seconds:g} seconds") from None
        except dns.exception.DNSException as error:
            raise LookupFailed(type(error).__name__) from None
        return list(answer.rrset or ())

    def _resolver(self) -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=not self._servers)
        if self._servers:
            resolver.nameservers = [_nameserver(server) for server in self._servers]
        return resolver


def _nameserver(server: str) -> dns.nameserver.Nameserver:
    parts = urlsplit(f"//{server}")
    return dns.nameserver.Do53Nameserver(parts.hostname or "", parts.port or 53)
