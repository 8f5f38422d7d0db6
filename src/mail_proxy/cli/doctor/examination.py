"""Order of the checks: files and settings, then the database, then servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence

from mail_proxy.cli.doctor import database, domains, files, machine, servers
from mail_proxy.cli.doctor.database import Known
from mail_proxy.cli.doctor.finding import Finding, fault
from mail_proxy.cli.instance import Instance
from mail_proxy.config import ProxyConfig
from mail_proxy.errors import MailProxyError
from mail_proxy.features.bounces.table import NAME as BOUNCES
from mail_proxy.network.access_tokens import TokenSource
from mail_proxy.network.dns_records import DnsRecords
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.reporting.sync_client import SyncClient
from mail_proxy.smtp.burst import Timeouts
from mail_proxy.smtp.connection import Connector
from mail_proxy.smtp.probe import PROBE_STEP_SECONDS

#: Servers that are asked at the same time, and the longest time for one of them.
_AT_ONCE = 20
_LONGEST_SECONDS = 60.0
#: More accounts, tenants or domains than an operator looks through.
_MOST = 1000
_MOST_DOMAINS = 100


async def examine(instance: Instance, environ: Mapping[str, str]) -> list[Finding]:
    """Make all checks, and return their results in a fixed order."""
    running = instance.find_running()
    found = list(files.check_files(instance))
    try:
        options = {**running.options, "port": running.port} if running else None
        loaded = instance.load_own_config(options, environ)
    except MailProxyError as error:
        hint = "correct the setting, in config.toml or in the environment"
        return [*found, fault("settings", instance.name, error.message, hint)]
    config = loaded.config
    key = list(files.check_key(config, environ))
    found += [*files.check_token(instance, config), *key, *machine.check_disk(instance, config)]
    found += await asyncio.to_thread(lambda: list(machine.check_service(instance, running, loaded)))
    has_key = all(finding.ok for finding in key)
    return [*found, *await _examine_database(instance.name, config, has_key)]


async def _examine_database(name: str, config: ProxyConfig, has_key: bool) -> list[Finding]:
    found: list[Finding] = []
    try:
        async with database.opened(config) as db:
            found += await asyncio.to_thread(lambda: list(database.check_database(db)))
            if not has_key or not all(finding.ok for finding in found):
                return found
            found += await asyncio.to_thread(lambda: list(database.check_key_fits(db, config)))
            if not all(finding.ok for finding in found):
                return found
            known = await database.read_known(db, config)
            tokens = database.access_tokens(db, config)
            others = await _examine_others(config, known, tokens)
            await tokens.close()
    except MailProxyError as error:
        hint = "see docs/howto/database-trouble.md, or restore a backup"
        return [*found, fault("database", name, error.message, hint)]
    found += machine.check_clock(known.ages.newest_at, known.server_time)
    found += database.check_backup(known.ages, name)
    return [*found, *others]


async def _examine_others(config: ProxyConfig, known: Known, tokens: TokenSource) -> list[Finding]:
    """Ask the servers of accounts, applications and mailboxes, and the DNS."""
    guard, snapshot = NetworkGuard.of(config), known.snapshot
    connector = Connector(
        Timeouts(open=PROBE_STEP_SECONDS),
        local_hostname=config.helo_name,
        guard=guard,
        tokens=tokens,
    )
    dns = DnsRecords(config.dns_servers)
    tenants = [tenant for tenant in snapshot.tenants.values() if tenant.active][:_MOST]
    client = SyncClient(config.client_sync, servers.CALL_SECONDS, guard)
    try:
        found = await _all_of(
            [
                *(
                    (f"{account.tenant_id}/{account.id}", servers.check_account(connector, account))
                    for account in list(snapshot.accounts.values())[:_MOST]
                ),
                *((tenant.id, servers.check_callback(client, tenant)) for tenant in tenants),
                *(
                    (mailbox.login.user, servers.check_mailbox(guard, mailbox, tokens))
                    for mailbox in known.mailboxes[:_MOST]
                ),
                *(
                    (domain, domains.check_domain(dns, domain, known.dkim.get(domain, [])))
                    for domain in sorted(known.sender_domains)[:_MOST_DOMAINS]
                ),
            ]
        )
    finally:
        await client.close()
    if known.unreadable_mailbox:
        hint = "save its settings again, with the password"
        found.append(fault("mailbox", BOUNCES, "its settings are not complete", hint))
    return found


async def _all_of(checks: Sequence[tuple[str, Awaitable[Iterator[Finding]]]]) -> list[Finding]:
    """Run the checks at the same time, and return their results in order.

    Accounts of one server have one certificate, so a result may come more than once.
    """
    free = asyncio.Semaphore(_AT_ONCE)

    async def bounded(subject: str, check: Awaitable[Iterator[Finding]]) -> list[Finding]:
        try:
            async with free, asyncio.timeout(_LONGEST_SECONDS):
                return list(await check)
        except TimeoutError:
            text = f"not done within {_LONGEST_SECONDS:.0f} s"
            return [fault("time", subject, text, "the server is very slow; try again")]

    results = await asyncio.gather(*(bounded(subject, check) for subject, check in checks))
    return [*dict.fromkeys(finding for result in results for finding in result)]
