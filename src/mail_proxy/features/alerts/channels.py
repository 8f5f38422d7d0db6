"""Channels of alerts: a mail through an account, and a signed HTTP POST."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from typing import Protocol

import httpx
import orjson

from mail_proxy.domain.mail import Address, Mail
from mail_proxy.domain.tenant import DEFAULT_TENANT
from mail_proxy.features.alerts.table import AlertSecretTable
from mail_proxy.kit.ids import uuid7
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.network.http_transport import GuardedTransport
from mail_proxy.network.tls import system_tls_context
from mail_proxy.operations.parts import Parts
from mail_proxy.reporting.signing import signature_headers
from mail_proxy.reporting.sync_client import failed_call
from mail_proxy.smtp.compose import compose
from mail_proxy.smtp.envelope import Envelope
from mail_proxy.sql import Connection
from mail_proxy.sql.directory import login_of
from mail_proxy.sql.table import Row
from mail_proxy.wire.alerts import AlertCall, AlertOut

_CALL_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_HEADERS = {b"User-Agent": b"genro-mail-proxy", b"Content-Type": b"application/json"}
_WORDS = {"begun": "Needs attention", "over": "Over", "test": "Test"}


class Channel(Protocol):
    """Way to a person. ``name`` is its column in the table of alerts."""

    @property
    def name(self) -> str: ...

    async def send(self, call: AlertCall, now: float) -> str | None:
        """Send one alert; return why it was not taken, or None if it was."""
        ...


def channels_of(parts: Parts) -> list[Channel]:
    """Return the channels that the settings name."""
    alerts = parts.config.alerts
    found: list[Channel] = []
    if alerts.alert_email is not None:
        found.append(MailChannel(parts, alerts.alert_email))
    if alerts.alert_url is not None:
        found.append(UrlChannel(parts, alerts.alert_url))
    return found


class MailChannel:
    """Alerts by mail, on a session of their own.

    They do not go through the queue, which may be what is in trouble.
    """

    name = "email"

    def __init__(self, parts: Parts, to: str) -> None:
        self._parts = parts
        self._to = Address("", to)

    async def send(self, call: AlertCall, now: float) -> str | None:
        row = await self._parts.db.read(self._account)
        if row is None:
            named = self._parts.config.alerts.alert_account or "default"
            return f"the tenant {DEFAULT_TENANT} has no account {named} (alert_account)"
        login = login_of(row, self._parts.config.concurrency)
        steps = await self._parts.sender.probe(login, self._mail(call, login.user or "", now))
        failed = next((s for s in steps if not s.ok and s.step != "quit"), None)
        return None if failed is None else f"{failed.step}: {failed.detail}"

    def _account(self, connection: Connection) -> Row | None:
        accounts, named = self._parts.tables.accounts, self._parts.config.alerts.alert_account
        if named is not None:
            return accounts.find_living(connection, DEFAULT_TENANT, named)
        usual = {"is_default": True, "deleted_at": None}
        return accounts.find(connection, tenant_id=DEFAULT_TENANT, **usual)

    def _mail(self, call: AlertCall, user: str, now: float) -> Envelope:
        sender = Address("", user) if "@" in user else self._to
        id_ = uuid7()
        message_id = f"<{id_}@{sender.email.rpartition('@')[2]}>"
        headers = (("Auto-Submitted", "auto-generated"),)
        mail = Mail(
            sender,
            (self._to,),
            (),
            (),
            _subject(call),
            _body(call),
            "plain",
            message_id,
            headers=headers,
        )
        return Envelope(sender.email, (self._to.email,), compose(mail, tracking_id=id_, date=now))


class UrlChannel:
    """Alerts by HTTP POST, signed as delivery reports are."""

    name = "url"

    def __init__(self, parts: Parts, url: str) -> None:
        self._parts = parts
        self._url = url

    async def send(self, call: AlertCall, now: float) -> str | None:
        body = orjson.dumps(call.model_dump())
        secret = await self._secret()
        headers = {**_HEADERS, **signature_headers([secret], _call_id(call), now, body)}
        transport = GuardedTransport(
            NetworkGuard.of(self._parts.config),
            system_tls_context("http"),
            private_allowed=True,  # the administrator named the URL
            keep_alive_seconds=1.0,
        )
        timeout = httpx.Timeout(_CALL_SECONDS, connect=_CONNECT_SECONDS)
        try:
            async with (
                asyncio.timeout(_CALL_SECONDS),
                httpx.AsyncClient(transport=transport, timeout=timeout) as http,
                http.stream("POST", self._url, headers=headers, content=body) as response,
            ):
                return None if response.is_success else f"HTTP {response.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            return failed_call(error, _CALL_SECONDS).reason

    async def _secret(self) -> str:
        given = self._parts.config.alerts.alert_secret
        if given is not None:
            return given.get_secret_value()
        return await self._parts.db.write(self._parts.tables.of_feature(AlertSecretTable).obtain)


def _call_id(call: AlertCall) -> str:
    """Return the ``webhook-id``: the same again if the same alerts are sent again."""
    named = "\n".join(f"{alert.state} {alert.id}" for alert in call.alerts)
    return f"msg_{hashlib.sha256(named.encode()).hexdigest()[:32]}"


def _subject(call: AlertCall) -> str:
    states = [alert.state for alert in call.alerts]
    parts = [f"{words}: {states.count(s)}" for s, words in _WORDS.items() if s in states]
    name = "".join(c for c in call.instance if c.isprintable())
    return f"[{name}] {', '.join(parts)}"


def _body(call: AlertCall) -> str:
    paragraphs = []
    for state, words in _WORDS.items():
        lines = [_line(alert) for alert in call.alerts if alert.state == state]
        if lines:
            paragraphs.append("\n".join([f"{words}:", *lines]))
    return "\n\n".join(paragraphs) + "\n"


def _line(alert: AlertOut) -> str:
    since = datetime.fromtimestamp(alert.since_ts, UTC).strftime("%Y-%m-%d %H:%M")
    waiting = f"; {alert.waiting} messages wait" if alert.waiting else ""
    return f"- {alert.text} (since {since} UTC{waiting})"
