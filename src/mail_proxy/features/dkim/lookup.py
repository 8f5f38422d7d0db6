"""DNS look-ups of TXT records, to compare published DKIM keys with stored ones."""

from __future__ import annotations

from collections.abc import Sequence
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


class TxtRecords:
    """Asks the name servers of the host, or others, for TXT records."""

    def __init__(
        self,
        servers: Sequence[str] = (),
        timeout_seconds: float = _LONGEST_SECONDS,
    ) -> None:
        """``servers`` are addresses with or without a port; default: /etc/resolv.conf."""
        self._servers = servers
        self._timeout_seconds = timeout_seconds

    async def find(self, name: str) -> list[str]:
        """Return at most ten records of at most 2000 characters, within the timeout.

        The strings of a record are joined (RFC 6376 section 3.6.2.2). What is not ASCII is
        replaced. Raises LookupFailed.
        """
        try:
            answer = await self._resolver().resolve(
                f"{name}.", "TXT", lifetime=self._timeout_seconds, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN:
            return []
        except dns.exception.Timeout:
            raise LookupFailed(f"no answer within {self._timeout_seconds:g} seconds") from None
        except dns.exception.DNSException as error:
            raise LookupFailed(type(error).__name__) from None
        records = (b"".join(record.strings) for record in answer.rrset or ())
        texts = sorted(r[:_LONGEST_RECORD].decode("ascii", "replace") for r in records)
        return texts[:_MOST_RECORDS]

    def _resolver(self) -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=not self._servers)
        if self._servers:
            resolver.nameservers = [_nameserver(server) for server in self._servers]
        return resolver


def _nameserver(server: str) -> dns.nameserver.Nameserver:
    parts = urlsplit(f"//{server}")
    return dns.nameserver.Do53Nameserver(parts.hostname or "", parts.port or 53)
