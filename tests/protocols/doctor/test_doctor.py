"""mail-proxy NAME doctor: every planted fault is named, and nothing else."""

from __future__ import annotations

import datetime
import socket
import sqlite3
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import dns.rcode
import pytest
import trustme
from tests.harness import dkim_mails
from tests.harness.dns_server import DnsServer, dns_server
from tests.harness.processes import free_port
from tests.harness.running import Post, mail, running

from mail_proxy.cli.doctor import Finding, examine
from mail_proxy.cli.instance import Instance
from mail_proxy.sql import SqlDb
from mail_proxy.sql.tables.instance import InstanceTable
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import Reply, SyncEndpoint
from mail_proxy.testing.token_server import ScriptedTokenServer

GOOD_DNS: dict[tuple[str, str], list[str]] = {
    ("example.org", "MX"): ["10 mx.example.org.", "20 mx2.example.org."],
    ("example.org", "TXT"): ['"v=spf1 include:spf.example.org -all"', '"another=record"'],
    ("_dmarc.example.org", "TXT"): ['"v=DMARC1; p=none"'],
}
_PEC = {"imap_host": "127.0.0.1", "imap_user": "pec@example.org", "imap_password": "word"}


class Shop:
    """The instance ``shop`` in a folder of the test's own, which is run and examined here."""

    def __init__(self, home: Path, dns_address: str, database_url: str) -> None:
        self.environ = {"GMP_HOME": str(home), "GMP_DNS_SERVERS": dns_address}
        self.instance = Instance("shop", home)
        self.instance.create(self.environ)
        self.is_sqlite = database_url.startswith("sqlite")
        path = str(self.instance.database) if self.is_sqlite else database_url
        self.instance.remembered_database.remember(path)
        self.set(port=free_port())

    def set(self, **settings: Any) -> None:
        text = self.instance.config_file.read_text()
        for name, value in settings.items():
            text = text.replace(f"\n# {name} =", f"\n{name} = {value}\n# {name} =", 1)
        self.instance.config_file.write_text(text)

    def run(self) -> Any:
        return running(self.instance.load_own_config(None, self.environ).config)

    async def faults(self) -> list[Finding]:
        found = await examine(self.instance, self.environ)
        assert found == [*dict.fromkeys(found)]
        assert all(finding.hint for finding in found if not finding.ok)
        return [finding for finding in found if not finding.ok]

    def grow_old(self, **times: float) -> None:
        """Change the times of the instance's row."""
        config = self.instance.load_own_config(None, self.environ).config
        db = SqlDb(config.database_url)
        table = InstanceTable(bytes(32)).schema
        db.write_now(lambda connection: connection.execute(table.update().values(times)))
        db.dispose()


@pytest.fixture
async def dns_zone() -> AsyncIterator[DnsServer]:
    async with dns_server() as server:
        server.others.update(GOOD_DNS)
        yield server


@pytest.fixture
def shop(tmp_path: Path, dns_zone: DnsServer, database_url: str) -> Shop:
    return Shop(tmp_path / "home", dns_zone.address, database_url)


def _named(faults: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, finding.subject) for finding in faults]


def _tls(authority: trustme.CA, days: float) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days, hours=1)
    authority.issue_cert("127.0.0.1", not_after=ends).configure_cert(context)
    return context


async def test_an_account_with_access_tokens_is_examined_with_them(
    shop: Shop, dns_zone: DnsServer, authority: trustme.CA
) -> None:
    async with (
        ScriptedTokenServer(rotates=True) as tokens,
        ScriptedSmtpServer(tls_context=_tls(authority, 90), accepts_token=tokens.accepts) as server,
    ):
        app = {"method": "oauth2", "provider": "custom", "client_id": "app"}
        grant = {"grant": "refresh_token", "refresh_token": "refresh-0", "client_secret": "secret"}
        auth = {**app, **grant, "token_url": tokens.token_url}
        async with shop.run() as post:
            await post.account(server, "good", user="ann@example.org", auth=auth)
        found = await examine(shop.instance, shop.environ)
        assert [f.text for f in found if f.check == "account" and not f.ok] == []
        assert [login.token for login in server.logins] == ["token-1-"]
        tokens.revoke_tokens()
        found = await examine(shop.instance, shop.environ)
        assert [f.text for f in found if f.check == "account" and not f.ok] == []
        assert tokens.refresh_tokens == {"refresh-2"}


async def test_a_healthy_instance_has_no_faults(
    shop: Shop, dns_zone: DnsServer, authority: trustme.CA
) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            ScriptedSmtpServer(tls_context=_tls(authority, 90), users={"ann@example.org": "word"})
        )
        endpoint = await stack.enter_async_context(SyncEndpoint())
        async with shop.run() as post:
            await _account(post, "good", server, "ann@example.org")
            await post.tenant("acme", client_base_url=endpoint.url)
            await post.add(mail("m1"), tenant_id="default")
            await post.reports.sent("m1")
        found = await examine(shop.instance, shop.environ)
        assert [finding for finding in found if not finding.ok] == []
        checks = {finding.check: finding for finding in found}
        assert checks["account"].subject == "default/good"
        assert checks["certificate"].text.startswith("valid until 20")
        assert checks["mx"].text == "mx.example.org, mx2.example.org"
        assert "the mail server has to sign" in checks["dkim"].text
        assert endpoint.calls[-1].reports == []
        assert {"database", "backup", "disk", "key", "token", "files", "port", "clock"} < {*checks}


async def _account(post: Post, id_: str, server: Any, user: str, **fields: Any) -> None:
    login = {"user": user, "password": "word", "tls": "starttls", "verify_cert": False}
    await post.account(server, id_, **{**login, **fields})


async def test_each_of_many_planted_faults_is_named(
    shop: Shop, dns_zone: DnsServer, authority: trustme.CA
) -> None:
    nobody = free_port()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            ScriptedSmtpServer(tls_context=_tls(authority, 5), users={"ann": "word"})
        )
        endpoint = await stack.enter_async_context(SyncEndpoint(Reply(status=500)))
        async with shop.run() as post:
            await _account(post, "gone", nobody, "ann")
            await _account(post, "guesses", server, "ann", password="wrong")
            await _account(post, "strict", server, "ann", verify_cert=True)
            await _account(
                post, "pec", server, "ann", is_pec_account=True, **_PEC, imap_port=nobody
            )
            await post.tenant("acme", client_base_url=endpoint.url)
            await _save_mailbox(post, nobody)
            await _save_dkim(post, "shop.example.net")
        shop.grow_old(created_at=time.time() - 10 * 86_400)
        dns_zone.others |= {
            ("shop.example.net", "MX"): ["0 ."],
            ("shop.example.net", "TXT"): ['"v=spf1 +all"'],
        }
        shop.instance.token_file.chmod(0o644)
        (shop.instance.folder / "cache").mkdir(mode=0o755, exist_ok=True)
        (shop.instance.folder / "cache").chmod(0o755)
        (shop.instance.folder / "elsewhere").symlink_to("/tmp")
        shop.set(min_free_disk_mb=10**9)
        port = shop.instance.load_own_config(None, shop.environ).config.port
        with socket.create_server(("127.0.0.1", port)):
            faults = await shop.faults()
    folder = shop.instance.folder
    name = "gmp1._domainkey.shop.example.net"
    expected = [
        ("files", str(folder / "cache")),
        ("files", str(folder / "elsewhere")),
        ("files", str(folder / "token")),
        ("disk", str(folder)),
        ("port", f"127.0.0.1:{port}"),
        ("backup", "shop"),
        ("account", "default/gone"),
        ("account", "default/guesses"),
        ("certificate", f"127.0.0.1:{server.port}"),
        ("account", "default/strict"),
        ("callback", "acme"),
        ("mailbox", f"bounces@example.org at 127.0.0.1:{nobody}"),
        ("mailbox", f"pec@example.org at 127.0.0.1:{nobody}"),
        ("mx", "shop.example.net"),
        ("spf", "shop.example.net"),
        ("dmarc", "shop.example.net"),
        ("dkim", name),
    ]
    assert sorted(_named(faults)) == sorted(expected)
    hints = {finding.subject: finding.hint or "" for finding in faults}
    assert hints[str(folder / "token")] == f"chmod 600 {folder / 'token'}"
    assert "User or password is wrong" in hints["default/guesses"]
    assert "publish this TXT record: v=DKIM1; k=ed25519; p=" in hints[name]


async def _save_mailbox(post: Post, port: int) -> None:
    from mail_proxy.features.bounces import operations
    from mail_proxy.operations.callers import Caller
    from mail_proxy.wire.bounces import BounceMailboxIn

    place = {"imap_host": "127.0.0.1", "imap_port": port, "imap_tls": "none"}
    login = {"imap_user": "bounces@example.org", "imap_password": "word"}
    request = BounceMailboxIn.model_validate({"enabled": True, **place, **login})
    await post.proxy.door.call(operations.save, Caller(None), request)


async def _save_dkim(post: Post, domain: str) -> None:
    from mail_proxy.features.dkim import operations
    from mail_proxy.operations.callers import Caller
    from mail_proxy.wire.dkim import DkimKeyIn

    private_key = dkim_mails.private_keys()["ed"]
    request = DkimKeyIn.model_validate(
        {"domain": domain, "algorithm": "ed25519-sha256", "private_key": private_key}
    )
    await post.proxy.door.call(operations.create, Caller(None), request, "default")


async def test_a_clock_that_was_set_back_and_an_old_backup_are_named(shop: Shop) -> None:
    async with shop.run():
        pass
    now = time.time()
    shop.grow_old(created_at=now + 3600, last_backup_at=now - 30 * 86_400)
    assert _named(await shop.faults()) == [("clock", "this machine"), ("backup", "shop")]


async def test_a_wrong_key_and_a_missing_one_are_named(shop: Shop) -> None:
    async with shop.run():
        pass
    shop.instance.key_file.write_bytes(b"k" * 32)
    subject = str(shop.instance.key_file)
    assert _named(await shop.faults()) == [("key", subject)]
    shop.instance.key_file.unlink()
    assert _named(await shop.faults()) == [("key", subject)]


async def test_a_missing_a_damaged_and_a_full_database_are_named(
    tmp_path: Path, dns_zone: DnsServer
) -> None:
    shop = Shop(tmp_path / "home", dns_zone.address, "sqlite:///")
    (missing,) = await shop.faults()
    assert (missing.check, "is not there" in missing.text) == ("database", True)
    assert not shop.instance.database.exists()
    async with shop.run():
        pass
    octets = bytearray(shop.instance.database.read_bytes())
    octets[8192 * 3 : 8192 * 30] = b"\xff" * 8192 * 27
    shop.instance.database.write_bytes(octets)
    (damaged,) = await shop.faults()
    assert (damaged.check, "damaged" in damaged.text) == ("database", True)


async def test_a_database_of_another_version_is_named(tmp_path: Path, dns_zone: DnsServer) -> None:
    shop = Shop(tmp_path / "home", dns_zone.address, "sqlite:///")
    async with shop.run():
        pass
    with sqlite3.connect(shop.instance.database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    (found,) = await shop.faults()
    assert (found.check, "schema 9999" in found.text) == ("database", True)


async def test_a_wrong_setting_is_named(tmp_path: Path, dns_zone: DnsServer) -> None:
    shop = Shop(tmp_path / "home", dns_zone.address, "sqlite:///")
    shop.set(max_retries='"many"')
    (found,) = await shop.faults()
    assert (found.check, "max_retries" in found.text) == ("settings", True)


_DOMAIN, _POLICY = ("d.example", "TXT"), ("_dmarc.d.example", "TXT")


@pytest.mark.parametrize(
    ("records", "faults"),
    [
        ({("d.example", "A"): ["192.0.2.1"]}, ["spf", "dmarc"]),
        ({_DOMAIN: ['"v=spf1 -all"', '"v=spf1 ~all"']}, ["mx", "spf", "dmarc"]),
        ({_DOMAIN: ['"v=spf1 ' + "include:x.example " * 11 + '-all"']}, ["mx", "spf", "dmarc"]),
        ({_POLICY: ['"v=DMARC1; rua=mailto:x@d.example"']}, ["mx", "spf", "dmarc"]),
        ({_POLICY: ['"v=DMARC1;p=none"', '"v=DMARC1;p=reject"']}, ["mx", "spf", "dmarc"]),
    ],
)
async def test_wrong_records_of_a_domain(
    dns_zone: DnsServer, records: dict[tuple[str, str], list[str]], faults: list[str]
) -> None:
    from mail_proxy.cli.doctor.domains import check_domain
    from mail_proxy.network.dns_records import DnsRecords

    dns_zone.others = records
    found = await check_domain(DnsRecords([dns_zone.address]), "d.example", [])
    assert [finding.check for finding in found if not finding.ok] == faults


async def test_a_policy_is_looked_for_at_the_parents(dns_zone: DnsServer) -> None:
    from mail_proxy.cli.doctor.domains import check_domain
    from mail_proxy.network.dns_records import DnsRecords

    found = await check_domain(DnsRecords([dns_zone.address]), "news.shop.example.org", [])
    assert [finding.check for finding in found if not finding.ok] == ["mx", "spf"]


async def test_a_silent_dns_is_named(dns_zone: DnsServer) -> None:
    from mail_proxy.cli.doctor.domains import check_domain
    from mail_proxy.network.dns_records import DnsRecords

    dns_zone.rcode = dns.rcode.SERVFAIL
    found = [*await check_domain(DnsRecords([dns_zone.address]), "d.example", [("s", "record")])]
    assert [finding.check for finding in found if not finding.ok] == ["mx", "spf", "dmarc", "dkim"]
    assert all("gave no answer" in finding.text for finding in found)
