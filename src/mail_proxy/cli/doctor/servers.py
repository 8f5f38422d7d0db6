"""Checks of servers: of accounts, of applications, of mailboxes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from cryptography import x509

from mail_proxy.cli.doctor.finding import Finding, fault, good
from mail_proxy.domain.account import Account
from mail_proxy.domain.tenant import Tenant
from mail_proxy.imap import IMAPClient, ImapTrouble
from mail_proxy.inbound.mailbox_watch import WatchedMailbox
from mail_proxy.kit.ids import uuid7
from mail_proxy.network.access_tokens import TokenSource
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.reporting.sync_client import CallFailed, Report, SyncClient
from mail_proxy.smtp.connection import Connector
from mail_proxy.smtp.probe import PROBE_STEP_SECONDS, Probe
from mail_proxy.wire.reports import report_payload

CALL_SECONDS = 15.0
_IMAP_SECONDS = 15.0
_LAST_DAYS = 14


async def check_account(connector: Connector, account: Account) -> Iterator[Finding]:
    """Connect, encrypt and log in; look at the last day of the certificate."""
    subject = f"{account.tenant_id}/{account.id}"
    if account.login.damage is not None:
        return iter([fault("account", subject, account.login.damage, "save its password again")])
    probe = Probe(connector, account.login, PROBE_STEP_SECONDS)
    steps = await probe.run()
    place = f"{account.login.host}:{account.login.port}"
    failed = next((step for step in steps if not step.ok), None)
    if failed is None:
        found = [good("account", subject, f"{place} takes the log-in")]
    else:
        hint = failed.hint or f"see `accounts test {account.id}`"
        found = [fault("account", subject, f"{failed.step} at {place}: {failed.detail}", hint)]
    if probe.certificate is not None:
        found.append(_last_day(place, probe.certificate))
    return iter(found)


async def check_callback(client: SyncClient, tenant: Tenant) -> Iterator[Finding]:
    """Make an empty report call, as the service does when there is nothing to report."""
    if not client.reaches(tenant):
        text = "no URL: events are kept, and not reported"
        return iter([good("callback", tenant.id, text)])
    called = await client.call(tenant, Report(uuid7(), time.time(), report_payload([])))
    url = str(client.url_of(tenant))
    if isinstance(called.answer, CallFailed):
        hint = "mend the application, or change URL and log-in with `tenants update`"
        text = f"{url}: {called.answer.reason}"
        return iter([fault("callback", tenant.id, text, hint)])
    return iter([good("callback", tenant.id, url)])


async def check_mailbox(
    guard: NetworkGuard, mailbox: WatchedMailbox, tokens: TokenSource
) -> Iterator[Finding]:
    """Log in to a mailbox, and open its folder."""
    login = mailbox.login
    subject = f"{login.user} at {login.host}:{login.port}"
    client = IMAPClient(login, guard, seconds=_IMAP_SECONDS, tokens=tokens)
    try:
        await client.open()
        selected = await client.select(mailbox.folder)
    except ImapTrouble as trouble:
        text = f"{trouble.stage}: {trouble.reason}"
        return iter([fault("mailbox", subject, text, _MAILBOX_HINTS[trouble.stage])])
    finally:
        await client.close()
    return iter([good("mailbox", subject, f"{mailbox.folder}: {selected.exists} mails")])


_MAILBOX_HINTS = {
    "connect": "check host and port, and firewalls on the way",
    "tls": "check the kind of TLS, and the server's certificate",
    "login": "check user and password; large providers want an app password",
    "select": "check the name of the folder",
    "read": "ask the operator of the server",
}


def _last_day(place: str, certificate: bytes) -> Finding:
    try:
        ends = x509.load_der_x509_certificate(certificate).not_valid_after_utc
    except ValueError as error:
        hint = "its operator has to replace it"
        return fault("certificate", place, f"it cannot be read: {error}", hint)
    days = (ends - datetime.now(UTC)).total_seconds() / 86_400
    text = f"valid until {ends:%Y-%m-%d}"
    if days < 0:
        return fault("certificate", place, f"it was {text}", "its operator has to renew it")
    if days < _LAST_DAYS:
        return fault(
            "certificate", place, f"{text}, {days:.0f} days", "its operator has to renew it"
        )
    return good("certificate", place, text)
