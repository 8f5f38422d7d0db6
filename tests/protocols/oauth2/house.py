"""An account with OAuth2 in a database, and the parts that log in with it."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from tests.harness.rows import add_tenant

from mail_proxy.config import ConcurrencyConfig
from mail_proxy.domain.account import SmtpLogin
from mail_proxy.domain.outcome import AccountTrouble
from mail_proxy.features.oauth2.table import AccessTokensTable
from mail_proxy.features.oauth2.token_server import TokenServer
from mail_proxy.features.oauth2.tokens import AccessTokens
from mail_proxy.kit.clock import Clock
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.smtp.connection import Connector, PooledConnection
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import login_of
from mail_proxy.sql.table import EVERY_TENANT, Row
from mail_proxy.sql.tables import Tables
from mail_proxy.testing.clock import FakeClock
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.token_server import ScriptedTokenServer

USER = "mailer@example.org"
KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
#: Every form of settings: provider and grant, with what they need.
FORMS: dict[str, dict[str, str]] = {
    f"{provider} {grant}": {"provider": provider, "grant": grant, **needed}
    for provider, grant, needed in (
        ("microsoft", "client_credentials", {"tenant": "acme.example", "client_secret": "secret"}),
        ("custom", "client_credentials", {"client_secret": "secret", "scope": "mail"}),
        ("microsoft", "refresh_token", {"client_secret": "secret", "refresh_token": "refresh-0"}),
        ("google", "refresh_token", {"client_secret": "secret", "refresh_token": "refresh-0"}),
        ("custom", "refresh_token", {"client_secret": "secret", "refresh_token": "refresh-0"}),
        ("google", "service_account", {"private_key": PEM}),
        ("custom", "service_account", {"private_key": PEM, "subject": "other@example.org"}),
    )
}


class House:
    """One saved account; each ``source`` is the token source of a process of its own."""

    def __init__(
        self,
        db: SqlDb,
        tables: Tables,
        smtp: ScriptedSmtpServer,
        tokens: ScriptedTokenServer,
        clock: Clock | None = None,
    ) -> None:
        self.db = db
        self.tables = tables
        self.smtp = smtp
        self.tokens = tokens
        self.clock = clock or FakeClock()
        self.pk = ""

    async def account(self, form: str, **changes: Any) -> None:
        """Save the account ``a`` of the tenant ``t``, with its settings for OAuth2."""
        await self.db.write(self.tables.instance.ensure, "test", 1.0)
        self.pk = await add_tenant(self.db, self.tables, "t")
        auth = {"method": "oauth2", "client_id": "app", "token_url": self.tokens.token_url}
        await self.change(auth={**auth, **FORMS[form], **changes})

    async def change(self, **columns: Any) -> None:
        """Save columns of the account, as a request does."""
        identity = {"pk": self.pk, "tenant_id": "t"}
        row = await self.row()
        place = {"host": self.smtp.host, "port": self.smtp.port, "smtp_user": USER}
        values = {**place, "version": row["version"] + 1, **columns}
        await self.db.write(self.tables.accounts.update, identity, values)

    async def row(self) -> Row:
        return await self.db.read(
            lambda c: self.tables.accounts.get(c, pk=self.pk, tenant_id=EVERY_TENANT)
        )

    async def stored_token(self) -> Row | None:
        table = self.tables.of_feature(AccessTokensTable)
        return await self.db.read(lambda c: table.find(c, account_pk=self.pk))

    async def login(self) -> SmtpLogin:
        return login_of(await self.row(), ConcurrencyConfig())

    def source(self, call_seconds: float = 60.0) -> AccessTokens:
        server = TokenServer(NetworkGuard(), call_seconds)
        return AccessTokens(self.db, self.tables, server, self.clock)

    async def open(self, source: AccessTokens | None = None) -> PooledConnection | AccountTrouble:
        """Open a session, as the pool does."""
        connector = Connector(tokens=source or self.source(), local_hostname="client.example")
        opened = await connector.open(await self.login())
        if isinstance(opened, PooledConnection):
            opened.abort()
        return opened

    async def reason(self, source: AccessTokens | None = None) -> str:
        """The reason why no session can be opened."""
        trouble = await self.open(source)
        assert isinstance(trouble, AccountTrouble)
        assert trouble.stage == "auth"
        return trouble.reason
