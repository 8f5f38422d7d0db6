"""Access tokens of accounts: kept, shared and renewed, once for all who ask."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace

from mail_proxy.domain.oauth2 import OAuth2Settings, TokenLogin
from mail_proxy.errors import DatabaseUnavailable, EncryptionError, NotFound
from mail_proxy.features.feature import StepParts
from mail_proxy.features.oauth2.table import AccessTokensTable
from mail_proxy.features.oauth2.token_server import IssuedToken, TokenServer
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.ids import uuid7
from mail_proxy.kit.liveness import process_mark, process_space
from mail_proxy.network.access_tokens import TokenTrouble
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.table import EVERY_TENANT, Damaged, Row
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.log import Action, log

#: A token is renewed so long before its end, or after 90 % of its life if it is shorter.
_RENEWED_BEFORE_SECONDS = 300.0
_RENEWED_AFTER = 0.9
#: After a failed renewal, the old token is used for so long without another attempt.
_NEXT_RENEWAL_SECONDS = 30.0
#: For one renewal: another process may renew first, and the token server may be slow.
_LONGEST_SECONDS = 45.0
_CLAIM_SECONDS = 40.0
_LOOK_SECONDS = 0.1
_STOP_SECONDS = 10.0
#: A rotated refresh token is lost if it is not stored.
_STORE_ATTEMPTS = 20
_STORE_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Held:
    """A token in memory, with instants of the monotonic clock.

    ``version`` is that of the account.
    """

    token: str
    version: int
    renew_at: float
    ends_at: float

    def __repr__(self) -> str:
        return f"_Held(v{self.version})"


@dataclass(frozen=True, slots=True)
class _Turn:
    """The turn to ask the token server, with the settings that are stored now."""

    settings: OAuth2Settings
    tenant_id: str
    account_id: str


class AccessTokens:
    """Source of access tokens, which keeps them in memory and in the database.

    A process that needs a new one claims the renewal, asks the token server, and stores the token
    and a rotated refresh token in one transaction. All others, in this process and in others, wait
    for it. Tokens of settings that are not saved are obtained each time and not stored.
    """

    def __init__(self, db: SqlDb, tables: Tables, server: TokenServer, clock: Clock) -> None:
        self._db = db
        self._claims = tables.claims
        self._accounts = tables.accounts
        self._tokens = tables.of_feature(AccessTokensTable)
        self._server = server
        self._clock = clock
        self._owner = process_mark(uuid7(), process_space())
        self._held: dict[str, _Held] = {}
        self._renewals: dict[str, asyncio.Task[_Held]] = {}

    @classmethod
    def of(cls, parts: StepParts) -> AccessTokens:
        """Return the source of a process."""
        server = TokenServer(NetworkGuard.of(parts.config))
        return cls(parts.db, parts.tables, server, parts.clock)

    async def access_token(self, login: TokenLogin, refused: str | None = None) -> str:
        """Return a token that is valid now, and is not ``refused``.

        Raises TokenTrouble. Takes less than a minute.
        """
        pk = login.account_pk
        if pk is None:
            return (await self._server.ask(login.settings, self._clock.now())).access_token
        held = self._held.get(pk)
        if held is None or held.version < login.version or held.token == refused:
            return await self._renewed(pk, login, refused)
        now = self._clock.monotonic()
        if now < held.renew_at:
            return held.token
        try:
            return await self._renewed(pk, login, refused)
        except TokenTrouble as trouble:
            if self._clock.monotonic() >= held.ends_at:
                raise
            log(Action.OAUTH2_KEPT, reason=str(trouble), seconds=held.ends_at - now)
            self._held[pk] = replace(held, renew_at=now + _NEXT_RENEWAL_SECONDS)
            return held.token

    async def close(self) -> None:
        """Wait for renewals, so that no rotated refresh token is lost."""
        if self._renewals:
            await asyncio.wait(list(self._renewals.values()), timeout=_STOP_SECONDS)

    async def _renewed(self, pk: str, login: TokenLogin, refused: str | None) -> str:
        """Return the token of the renewal that is under way, or of a new one."""
        running = self._renewals.get(pk)
        if running is not None:
            # A caller that ends must not end the renewal of the others.
            found = await asyncio.shield(running)
            if found.token != refused and found.version >= login.version:
                return found.token
        if pk not in self._renewals:
            renewal = asyncio.create_task(self._renew(pk, login.version, refused))
            self._renewals[pk] = renewal
            renewal.add_done_callback(lambda done: self._end(pk, done))
        return (await asyncio.shield(self._renewals[pk])).token

    def _end(self, pk: str, done: asyncio.Task[_Held]) -> None:
        del self._renewals[pk]
        if not done.cancelled():
            done.exception()  # it may be that every caller has ended

    async def _renew(self, pk: str, version: int, refused: str | None) -> _Held:
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                while (found := await self._found(pk, version, refused)) is None:
                    await asyncio.sleep(_LOOK_SECONDS)
                if isinstance(found, _Turn):
                    found = await self._ask(pk, version, refused, found)
        except TimeoutError:
            raise TokenTrouble("another process is renewing the access token") from None
        except (DatabaseUnavailable, EncryptionError) as error:
            raise TokenTrouble(f"the access token cannot be stored: {error}") from None
        self._held[pk] = found
        return found

    async def _found(self, pk: str, version: int, refused: str | None) -> _Held | _Turn | None:
        """Return the stored token or the turn to renew it; None if another process has it."""
        stored = await self._db.read(self._stored, pk, version, refused)
        return stored or await self._db.write(self._take, pk, version, refused)

    def _stored(
        self, connection: Connection, pk: str, version: int, refused: str | None
    ) -> _Held | None:
        row, settings = self._account(connection, pk)
        found = self._tokens.find(connection, account_pk=pk)
        if found is None or found["digest"] != settings.digest:
            return None
        now, token = self._clock.now(), found["token"]
        if isinstance(token, Damaged) or token == refused or found["renew_at"] <= now:
            return None
        monotonic = self._clock.monotonic()
        renew_at, ends_at = (monotonic + found[n] - now for n in ("renew_at", "expires_at"))
        return _Held(token, max(version, row["version"]), renew_at, ends_at)

    def _take(
        self, connection: Connection, pk: str, version: int, refused: str | None
    ) -> _Held | _Turn | None:
        now = self._clock.now()
        if not self._claims.take(connection, _claim(pk), self._owner, now, _CLAIM_SECONDS):
            return None
        if (stored := self._stored(connection, pk, version, refused)) is not None:
            self._claims.release(connection, self._owner, _claim(pk))
            return stored
        row, settings = self._account(connection, pk)
        return _Turn(settings, row["tenant_id"], row["id"])

    async def _ask(self, pk: str, version: int, refused: str | None, turn: _Turn) -> _Held:
        """Ask the token server and store its answer; the claim ends in any case."""
        is_stored = False
        try:
            issued = await self._server.ask(turn.settings, self._clock.now())
            now = self._clock.now()
            await self._store_surely(pk, turn.settings, issued, now)
            is_stored = True
        finally:
            if not is_stored:
                with suppress(DatabaseUnavailable):  # the claim expires
                    await self._db.write(self._claims.release, self._owner, _claim(pk))
        if issued.access_token == refused:
            raise TokenTrouble("the token server gives the token again that was refused")
        log(
            Action.OAUTH2_RENEWED,
            tenant_id=turn.tenant_id,
            account_id=turn.account_id,
            seconds=issued.valid_seconds,
        )
        now = self._clock.monotonic()
        ends_at = now + issued.valid_seconds
        return _Held(issued.access_token, version, now + _renewed_after(issued), ends_at)

    async def _store_surely(
        self, pk: str, used: OAuth2Settings, issued: IssuedToken, now: float
    ) -> None:
        for attempt in range(_STORE_ATTEMPTS):
            try:
                await self._db.write(self._store, pk, used, issued, now)
            except DatabaseUnavailable:
                if attempt == _STORE_ATTEMPTS - 1:
                    raise
                await asyncio.sleep(_STORE_PAUSE_SECONDS)
            else:
                return

    def _store(
        self, connection: Connection, pk: str, used: OAuth2Settings, issued: IssuedToken, now: float
    ) -> None:
        """Store token and rotated refresh token, unless the account was saved meanwhile."""
        self._claims.release(connection, self._owner, _claim(pk))
        self._tokens.prune(connection, now)
        place = {"pk": pk, "tenant_id": EVERY_TENANT, "deleted_at": None}
        with suppress(NotFound), self._accounts.record(connection, **place) as row:
            current = OAuth2Settings.from_record(_object(row["auth"]), row["smtp_user"])
            if current != used:
                return
            if issued.refresh_token not in (None, used.refresh_token):
                row["auth"] = {**row["auth"], "refresh_token": issued.refresh_token}
                current = replace(used, refresh_token=issued.refresh_token)
            values = {
                "token": issued.access_token,
                "digest": current.digest,
                "renew_at": now + _renewed_after(issued),
                "expires_at": now + issued.valid_seconds,
            }
            self._tokens.save(connection, pk, values)

    def _account(self, connection: Connection, pk: str) -> tuple[Row, OAuth2Settings]:
        row = self._accounts.find(connection, pk=pk, tenant_id=EVERY_TENANT, deleted_at=None)
        auth = None if row is None else _object(row["auth"])
        settings = OAuth2Settings.from_record(auth, None if row is None else row["smtp_user"])
        if row is None or settings is None:
            raise TokenTrouble("the account does not log in with OAuth2 any more")
        return row, settings


def _renewed_after(issued: IssuedToken) -> float:
    """Return the seconds after which a new token is renewed."""
    valid = issued.valid_seconds
    return max(valid - _RENEWED_BEFORE_SECONDS, valid * _RENEWED_AFTER)


def _claim(account_pk: str) -> str:
    return f"oauth2:{account_pk}"


def _object(auth: object) -> dict[str, object] | None:
    return auth if isinstance(auth, dict) else None
