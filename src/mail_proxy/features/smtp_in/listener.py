"""Service that listens for SMTP sessions of programs (setting ``smtp_listen``)."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter

from mail_proxy.config import ProxyConfig
from mail_proxy.domain.networks import is_loopback
from mail_proxy.errors import ConfigError
from mail_proxy.features.feature import ListenerParts
from mail_proxy.features.smtp_in.handler import SubmissionHandler
from mail_proxy.features.smtp_in.session import SubmissionSession
from mail_proxy.kit.body_budget import BodyBudget
from mail_proxy.kit.service import seconds_until
from mail_proxy.smtp.handshake import full_host_name
from mail_proxy.telemetry.log import Action, log

_MOST_SESSIONS = 500
#: One address leaves room for the others.
_MOST_OF_ADDRESS = 200
_FAILURE_SECONDS = 1.0
_MB = 1_000_000
_LOOK_SECONDS = 0.05


class SubmissionListener:
    """Listener with a bound on its sessions: in all, and of one address."""

    name = "smtp in"

    def __init__(
        self,
        parts: ListenerParts,
        *,
        most_sessions: int = _MOST_SESSIONS,
        most_of_address: int = _MOST_OF_ADDRESS,
        failure_seconds: float = _FAILURE_SECONDS,
    ) -> None:
        config = parts.parts.config
        self._listen = config.smtp_listen
        self._config = config
        self._hostname = config.helo_name or full_host_name() or "localhost"
        self._handler = SubmissionHandler(parts, self._hostname, failure_seconds)
        self._budget = BodyBudget()
        self._most_sessions = most_sessions
        self._most_of_address = most_of_address
        self._tls: ssl.SSLContext | None = None
        self._server: asyncio.Server | None = None
        self._open: dict[SubmissionSession, str] = {}
        self._of_address: Counter[str] = Counter()

    @property
    def alive(self) -> bool:
        """True if it listens, or is not meant to."""
        return self._listen is None or (self._server is not None and self._server.is_serving())

    @property
    def port(self) -> int:
        """Port that it listens on."""
        assert self._server is not None, "start comes first"
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen. Raises ConfigError if that is not possible."""
        if self._listen is None:
            return
        host, _, port = self._listen.rpartition(":")
        self._tls = await asyncio.to_thread(_tls_context, self._config)
        if self._tls is None and not is_loopback(host):
            raise ConfigError(
                f"smtp_listen {self._listen}: off loopback it needs smtp_tls_cert and "
                "smtp_tls_key, because programs log in under TLS only"
            )
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._session, host.strip("[]"), int(port))
        except OSError as error:
            raise ConfigError(f"smtp_listen {self._listen}: {error.strerror or error}") from None
        log(Action.SMTP_LISTENING, place=f"{host}:{self.port}")

    async def stop(self, deadline: float) -> None:
        """Take no more sessions; let mails that are being stored get their answer."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        for session in list(self._open):
            if not session.is_busy:
                session.abort()
        while self._open and seconds_until(deadline):
            await asyncio.sleep(_LOOK_SECONDS)
            for session in list(self._open):
                if not session.is_busy:
                    session.abort()
        for session in list(self._open):
            session.abort()

    def add(self, session: SubmissionSession, address: str) -> bool:
        """Register a session; False if there is no room for it."""
        is_full = len(self._open) >= self._most_sessions
        if is_full or self._of_address[address] >= self._most_of_address:
            return False
        self._open[session] = address
        self._of_address[address] += 1
        return True

    def remove(self, session: SubmissionSession) -> None:
        """Forget a session."""
        address = self._open.pop(session, None)
        if address is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]

    def _session(self) -> SubmissionSession:
        return SubmissionSession(
            self._handler,
            self,
            self._budget,
            int(self._config.concurrency.max_bodies_mb * _MB),
            most_bytes=int(self._config.smtp_max_mb * _MB),
            tls_context=self._tls,
            hostname=self._hostname,
        )


def _tls_context(config: ProxyConfig) -> ssl.SSLContext | None:
    """Return the context of the certificate in the settings, None without one."""
    certificate = config.smtp_tls_cert
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, config.smtp_tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"smtp_tls_cert {certificate}: {error}") from None
    return context
