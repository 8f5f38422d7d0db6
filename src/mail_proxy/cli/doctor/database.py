"""Checks of the database, and what the other checks need from it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import mail_proxy.features.registry as features
from mail_proxy.cli.doctor.finding import Finding, fault, good
from mail_proxy.config import ProxyConfig
from mail_proxy.encryption import load_key
from mail_proxy.errors import MailProxyError
from mail_proxy.features.bounces.table import NAME as BOUNCES
from mail_proxy.features.bounces.table import BounceMailboxTable
from mail_proxy.features.dkim.table import DkimKeysTable
from mail_proxy.features.oauth2.token_server import TokenServer
from mail_proxy.features.oauth2.tokens import AccessTokens
from mail_proxy.features.pec.accounts import NAME as PEC
from mail_proxy.inbound.mailbox_watch import WatchedMailbox
from mail_proxy.kit.clock import SystemClock
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.directory import Directory, Snapshot
from mail_proxy.sql.keys import key_matches
from mail_proxy.sql.messages import listing
from mail_proxy.sql.messages.mail_codec import load_mail
from mail_proxy.sql.migrations import current, head
from mail_proxy.sql.table import EVERY_TENANT, Damaged
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.instance import Ages

#: Messages whose senders are looked at, the newest ones.
_RECENT = 200
_DAY_SECONDS = 86_400
_BACKUP_DAYS = 7


@dataclass(frozen=True)
class Known:
    """Content of the database that other checks need.

    ``dkim`` has selector and record of the keys of each domain; the record of a damaged key is
    None. ``unreadable_mailbox``: the bounce mailbox is on, and its settings are not complete.
    """

    snapshot: Snapshot
    ages: Ages
    server_time: float | None
    sender_domains: frozenset[str]
    dkim: Mapping[str, list[tuple[str, str | None]]]
    mailboxes: Sequence[WatchedMailbox]
    unreadable_mailbox: bool


def refuse_missing(config: ProxyConfig) -> None:
    """Raise MailProxyError if there is no SQLite file, which ``SqlDb`` would make."""
    scheme, _, path = config.database_url.partition(":///")
    if scheme == "sqlite" and not Path(path).is_file():
        raise MailProxyError(f"{path} is not there: the instance was never started, or it is lost")


@asynccontextmanager
async def opened(config: ProxyConfig) -> AsyncIterator[SqlDb]:
    """Open a database that is there. Raises MailProxyError if it cannot be used."""
    refuse_missing(config)
    db = SqlDb(config.database_url)
    try:
        yield db
    finally:
        await db.close()


def check_database(db: SqlDb) -> Iterator[Finding]:
    """Find a database that is damaged, not writable, empty, or of another version."""
    place = db.adapter.place
    schema, needed = current(db), head()
    damage = db.read_now(db.adapter.find_damage)
    db.write_now(db.adapter.prove_writable)
    if damage is not None:
        hint = "stop the service; restore a backup, or see docs/howto/database-trouble.md"
        yield fault("database", place, f"it is damaged: {damage}", hint)
    elif schema is None:
        yield fault("database", place, "it is empty", "start the instance once")
    elif schema != needed:
        text = f"it has schema {schema}, and this program needs {needed}"
        yield fault("database", place, text, "`db upgrade`, a start, or the newer program")
    else:
        yield good("database", place, f"readable and writable, schema {schema}")


def check_key_fits(db: SqlDb, config: ProxyConfig) -> Iterator[Finding]:
    """Find a key that the database was not written with."""
    if db.read_now(key_matches, load_key(config.key_file)) is False:
        hint = "put the right key back; without it the stored passwords are lost"
        yield fault("key", str(config.key_file), "it is not the key of this database", hint)


def check_backup(ages: Ages, name: str) -> Iterator[Finding]:
    """Find a database without a recent backup; a new one has a day."""
    hint = f"`mail-proxy {name} backup FILE`, every day (cron, systemd timer)"
    now = time.time()
    last = ages.last_backup_at
    if last is None and now - ages.created_at > _DAY_SECONDS:
        yield fault("backup", name, "there is none", hint)
    elif last is not None and now - last > _BACKUP_DAYS * _DAY_SECONDS:
        days = (now - last) / _DAY_SECONDS
        yield fault("backup", name, f"the last one is {days:.0f} days old", hint)
    else:
        text = "none yet; the database is new" if last is None else "there is a recent one"
        yield good("backup", name, text)


def access_tokens(db: SqlDb, config: ProxyConfig) -> AccessTokens:
    """Return the source of access tokens, which stores renewed ones."""
    tables = Tables.of(db, load_key(config.key_file))
    return AccessTokens(db, tables, TokenServer(NetworkGuard.of(config)), SystemClock())


async def read_known(db: SqlDb, config: ProxyConfig) -> Known:
    """Read tenants, accounts, keys and recent senders."""
    tables = Tables.of(db, load_key(config.key_file))
    directory = Directory(db, tables, config.concurrency, config.queue, features.DIRECTORY)
    snapshot = await directory.current()
    server_time = await db.read(db.adapter.server_time)
    return await db.read(_known, tables, snapshot, server_time)


def _known(
    connection: Connection, tables: Tables, snapshot: Snapshot, server_time: float | None
) -> Known:
    keys: dict[str, list[tuple[str, str | None]]] = {}
    for row in tables.of_feature(DkimKeysTable).of_tenant(connection, EVERY_TENANT):
        record = None if isinstance(row["private_key"], Damaged) else row["record"]
        keys.setdefault(row["domain"], []).append((row["selector"], record))
    mailbox = tables.of_feature(BounceMailboxTable).row(connection)
    watched = snapshot.features[BOUNCES].watched
    of_accounts = [mailbox for _, mailbox in snapshot.features[PEC].values()]
    return Known(
        snapshot,
        tables.instance.ages(connection),
        server_time,
        frozenset({*keys, *_domains(_senders(connection, snapshot))}),
        keys,
        [*([] if watched is None else [watched]), *of_accounts],
        bool(mailbox and mailbox["settings"].get("enabled") and watched is None),
    )


def _senders(connection: Connection, snapshot: Snapshot) -> Iterator[str]:
    """Yield addresses that mails are sent from."""
    for account in snapshot.accounts.values():
        yield account.login.user or ""
        yield from (f"@{domain}" for domain in account.options.get("from_domains") or ())
    yield snapshot.features[BOUNCES].return_path or ""
    recent = listing.page(connection, listing.MessageFilter(None), _RECENT, None)
    for row in recent.rows:
        yield load_mail(row["content"]).sender.email


def _domains(addresses: Iterator[str]) -> Iterator[str]:
    for address in addresses:
        domain = address.rpartition("@")[2].lower().rstrip(".")
        if "@" in address and "." in domain and not domain.startswith("["):
            yield domain
