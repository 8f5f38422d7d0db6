"""Opening an SMTP session with aiosmtplib: connection, greeting, EHLO, TLS, log-in."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Callable, Coroutine
from functools import cache
from typing import cast

import aiosmtplib

from mail_proxy.domain.account import SmtpLogin, TlsMode
from mail_proxy.domain.outcome import AccountTrouble
from mail_proxy.smtp.capabilities import Capabilities
from mail_proxy.smtp.redact import redaction_of
from mail_proxy.smtp.replies import Reply, Stage, account_stage, account_trouble, one_line

_IMPLICIT_TLS_PORT = 465
_FQDN = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
#: RFC 5321 section 4.2.4: the server knows no EHLO, so HELO is worth a try.
_NO_EHLO_CODES = (500, 502)
#: What aiosmtplib wraps when connecting fails, and the stage that it tells.
_STAGE_OF_CAUSE: tuple[tuple[type[Exception], str], ...] = (
    (socket.gaierror, "dns"),
    (ssl.SSLError, "tls"),
    (UnicodeError, "dns"),
    (aiosmtplib.SMTPServerDisconnected, "greeting"),
    (aiosmtplib.SMTPTimeoutError, "greeting"),
)

Step = Callable[[], Coroutine[None, None, str | AccountTrouble]]


@cache
def default_local_hostname() -> str:
    """For EHLO: the host's own name if it is qualified, else an address literal (RFC 5321
    section 4.1.4). Asks no name server, which could take seconds."""
    name = socket.gethostname()
    return name if _FQDN.fullmatch(name) else "[127.0.0.1]"


@cache
def default_tls_context(verify_cert: bool) -> ssl.SSLContext:
    """Loading the system's certificates takes milliseconds, so it is done once."""
    context = ssl.create_default_context()
    if not verify_cert:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def may_log_in_unencrypted(mode: TlsMode, peer: str) -> bool:
    """Whether the password may go in the clear to the address ``peer``: where TLS was switched
    off on purpose, but not because somebody on the way has removed the offer of STARTTLS."""
    return mode is TlsMode.NONE or ipaddress.ip_address(peer.partition("%")[0]).is_loopback


class Handshake:
    """The steps from nothing to a session that is logged in, each used once, in this order:
    ``connect``, ``secure``, ``log_in``, ``hand_over``.

    A step gives a line on what it did, or the ``AccountTrouble`` that it met. After trouble, or
    when it is cancelled, the connection is closed. ``used_network``: the last step had something to
    ask the server for.
    """

    def __init__(
        self,
        login: SmtpLogin,
        *,
        local_hostname: str,
        tls_context: ssl.SSLContext,
        timeout: float,
    ) -> None:
        self._login = login
        self._mask = redaction_of(login)
        self.used_network = False
        self._stage = Stage.GREETING
        self._implicit_tls = login.tls is TlsMode.SSL or (
            login.tls is TlsMode.AUTO and login.port == _IMPLICIT_TLS_PORT
        )
        self._client = aiosmtplib.SMTP(
            hostname=login.host,
            port=login.port,
            local_hostname=local_hostname,
            timeout=timeout,
            use_tls=self._implicit_tls,
            start_tls=False,
            tls_context=tls_context,
        )

    async def connect(self) -> str | AccountTrouble:
        """TCP, TLS where it is implicit, greeting, EHLO."""
        return await self._step(self._connect())

    async def secure(self) -> str | AccountTrouble:
        """STARTTLS where the mode and the server ask for it."""
        return await self._step(self._secure())

    async def log_in(self) -> str | AccountTrouble:
        return await self._step(self._log_in())

    def hand_over(self) -> tuple[asyncio.Transport, Capabilities]:
        """The open transport, which aiosmtplib does not use any more."""
        transport = cast(asyncio.Transport, self._client.transport)
        return transport, Capabilities.of(self._client.esmtp_extensions)

    def close(self) -> None:
        self._client.close()

    async def _connect(self) -> str:
        self.used_network = True
        greeting = await self._client.connect()
        await self._say_hello()
        return one_line(greeting.message)

    async def _say_hello(self) -> None:
        self._stage = Stage.EHLO
        try:
            await self._client.ehlo()
        except aiosmtplib.SMTPHeloError as error:
            if error.code not in _NO_EHLO_CODES:
                raise
            await self._client.helo()

    async def _secure(self) -> str:
        self._stage = Stage.STARTTLS
        mode = self._login.tls
        if self._implicit_tls:
            return f"{self._tls_version()}, implicit"
        if mode is TlsMode.NONE:
            return "clear text"
        if mode is TlsMode.AUTO and not self._client.supports_extension("starttls"):
            return "clear text: the server does not offer STARTTLS"
        self.used_network = True
        await self._client.starttls()
        # RFC 3207 section 4.2: what the server said in the clear is forgotten.
        await self._say_hello()
        return f"{self._tls_version()}, STARTTLS"

    def _is_encrypted(self) -> bool:
        return self._client.get_transport_info("sslcontext") is not None

    def _peer(self) -> str:
        return str(self._client.get_transport_info("peername")[0])

    def _tls_version(self) -> str:
        return str(self._client.get_transport_info("ssl_object").version())

    async def _log_in(self) -> str:
        self._stage = Stage.AUTH
        if self._login.damage is not None:
            raise aiosmtplib.SMTPException(f"{self._login.damage}; save the account's password")
        if self._login.user is None:
            return "no log-in"
        if not (self._is_encrypted() or may_log_in_unencrypted(self._login.tls, self._peer())):
            raise aiosmtplib.SMTPException("TLS is not to be had: the password is not sent")
        self.used_network = True
        await self._client.login(self._login.user, self._login.password or "")
        return f"logged in as {self._login.user}"

    async def _step(self, step: Coroutine[None, None, str]) -> str | AccountTrouble:
        is_done = self.used_network = False
        try:
            detail = await step
            is_done = True
        except aiosmtplib.SMTPResponseException as error:
            return self._refused(error)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            # ValueError: a host name that neither IDNA nor TLS can work with.
            return self._failed(error)
        finally:
            if not is_done:
                self.close()
        return detail

    def _refused(self, error: aiosmtplib.SMTPResponseException) -> AccountTrouble:
        text = one_line(self._mask(error.message))
        if error.code < 0:
            # That is how aiosmtplib marks what is no reply at all.
            return AccountTrouble(account_stage(self._stage), text)
        return account_trouble(self._stage, Reply(error.code, text))

    def _failed(self, error: Exception) -> AccountTrouble:
        stage = account_stage(self._stage)
        if self._stage is Stage.GREETING:
            cause = error.__cause__ or error
            known = (name for kind, name in _STAGE_OF_CAUSE if isinstance(cause, kind))
            stage = next(known, "connect")
        text = one_line(self._mask(str(error)))
        return AccountTrouble(stage, text or type(error).__name__)
