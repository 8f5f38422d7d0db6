"""Checks of the DNS of a sender domain: MX, SPF, DKIM, DMARC."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Iterator, Sequence

from mail_proxy.cli.doctor.finding import Finding, fault, good
from mail_proxy.domain.dkim import record_name
from mail_proxy.features.dkim.keys import publishes_same_key
from mail_proxy.network.dns_records import DnsRecords, LookupFailed

#: Terms of SPF that cost a look-up; more than ten are an error (RFC 7208 section 4.6.4).
_SPF_LOOKUP = re.compile(r"[+?~-]?(include:|a\b|mx\b|ptr\b|exists:)|redirect=", re.IGNORECASE)
_MOST_SPF_LOOKUPS = 10
_DMARC_POLICY = re.compile(r"(?:^|;)\s*p\s*=\s*(none|quarantine|reject)\s*(?:;|$)", re.IGNORECASE)
#: A domain without a policy has that of the nearest parent; so many names are looked at.
_MOST_PARENTS = 8
_NO_ANSWER = "check the name servers of this machine (/etc/resolv.conf, or dns_servers)"


async def check_domain(
    dns: DnsRecords, domain: str, dkim: Sequence[tuple[str, str | None]]
) -> Iterator[Finding]:
    """Check a domain; ``dkim`` has selectors and records of its keys.

    The record of a key that cannot be decrypted is None."""
    checks = {"mx": _mx(dns, domain), "spf": _spf(dns, domain), "dmarc": _dmarc(dns, domain)}
    found = await asyncio.gather(
        *(_answered(name, domain, check) for name, check in checks.items()),
        *(
            _answered("dkim", name, _dkim(dns, name, record))
            for name, record in ((record_name(domain, selector), text) for selector, text in dkim)
        ),
    )
    if not dkim:
        text = "the proxy has no key for it; the mail server has to sign"
        found = [*found, good("dkim", domain, text)]
    return iter(found)


async def _answered(name: str, subject: str, check: Awaitable[Finding]) -> Finding:
    """Return the result of a check, also if the DNS does not answer."""
    try:
        return await check
    except LookupFailed as error:
        return fault(name, subject, f"the DNS gave no answer: {error}", _NO_ANSWER)


async def _mx(dns: DnsRecords, domain: str) -> Finding:
    servers = await dns.mail_servers(domain)
    if servers == ["."]:
        text = "it says that it takes no mail, so replies and bounces are lost"
        return fault("mx", domain, text, "publish an MX record of a server that takes its mail")
    if servers:
        return good("mx", domain, ", ".join(servers))
    if await dns.has_address(domain):
        return good("mx", domain, "no MX record; its own address takes mail")
    text = "neither MX nor address, so replies and bounces are lost, and servers refuse the sender"
    return fault("mx", domain, text, "check the spelling; publish an MX record")


async def _spf(dns: DnsRecords, domain: str) -> Finding:
    texts = await dns.texts(domain)
    records = [t for t in texts if t.lower() == "v=spf1" or t.lower().startswith("v=spf1 ")]
    if not records:
        hint = "publish a TXT record such as `v=spf1 include:<your mail provider> -all`"
        return fault("spf", domain, "no record", hint)
    if len(records) > 1:
        return fault(
            "spf", domain, f"{len(records)} records; one counts, two are an error", "merge them"
        )
    terms = records[0].split()[1:]
    if any(term.lower() in ("+all", "all") for term in terms):
        text = f"it lets everybody send: {records[0]}"
        return fault("spf", domain, text, "end it with -all or ~all")
    lookups = sum(_SPF_LOOKUP.match(term) is not None for term in terms)
    if lookups > _MOST_SPF_LOOKUPS:
        text = f"{lookups} look-ups; receivers stop at {_MOST_SPF_LOOKUPS}"
        return fault("spf", domain, text, "list addresses (ip4:, ip6:) instead of includes")
    return good("spf", domain, records[0])


async def _dmarc(dns: DnsRecords, domain: str) -> Finding:
    labels = domain.split(".")
    for skipped in range(min(_MOST_PARENTS, max(1, len(labels) - 1))):
        name = ".".join(labels[skipped:])
        texts = await dns.texts(f"_dmarc.{name}")
        records = [text for text in texts if text.lower().replace(" ", "").startswith("v=dmarc1")]
        if len(records) > 1:
            return fault("dmarc", domain, f"{len(records)} records at _dmarc.{name}", "keep one")
        if records and not _DMARC_POLICY.search(records[0]):
            text = f"no valid policy at _dmarc.{name}: {records[0]}"
            return fault("dmarc", domain, text, "add p=none, p=quarantine or p=reject")
        if records:
            return good("dmarc", domain, records[0])
    hint = f"publish `v=DMARC1; p=none; rua=mailto:<your address>` as TXT record of _dmarc.{domain}"
    return fault("dmarc", domain, "no record", hint)


async def _dkim(dns: DnsRecords, name: str, record: str | None) -> Finding:
    if record is None:
        text = "the stored key cannot be decrypted, so mails are not signed with it"
        return fault("dkim", name, text, "delete it, and add a new one")
    found = await dns.texts(name)
    if any(publishes_same_key(record, text) for text in found):
        return good("dkim", name, "published")
    text = (
        "another key is published" if found else "not published, so receivers see a bad signature"
    )
    return fault("dkim", name, text, f"publish this TXT record: {record}")
