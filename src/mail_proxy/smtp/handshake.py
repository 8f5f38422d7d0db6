"""Opens SMTP sessions: connection, greeting, EHLO, TLS, log-in."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import replace
from functools import cache

from mail_proxy.domain.account import SmtpLogin, TlsMode
from mail_proxy.domain.oauth2 import TokenLogin, token_mechanisms
from mail_proxy.domain.outcome import AccountTrouble
from mail_proxy.network.access_tokens import NoTokens, TokenSource, TokenTrouble
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.smtp import opening
from mail_proxy.smtp.capabilities import Capabilities
from mail_proxy.smtp.opening import Dialogue, NoMechanismError, RefusedError, Result
from mail_proxy.smtp.protocol import BrokenConnectionError, SmtpProtocol
from mail_proxy.smtp.redact import Redaction, redaction_of
from mail_proxy.smtp.replies import (
    Stage,
    Verdict,
    account_stage,
    account_trouble,
    one_line,
    verdict,
)
from mail_proxy.smtp.transcript import Entry

_IMPLICIT_TLS_PORT = 465
_FQDN = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")

Step = Callable[[], Coroutine[None, None, str | AccountTrouble]]


class ProblemError(Exception):
    """The proxy itself does not let the session go on."""


@cache
def full_host_name() -> str | None:
    """Return the host's own name for EHLO, or None if it is not a full one.

    Asks no name server, which could take seconds.
    """
    name = socket.gethostname()
    return name if _FQDN.fullmatch(name) else None


def address_literal(address: str) -> str:
    """Return an IP address as the address literal of EHLO (RFC 5321 section 4.1.3)."""
    address = address.partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def may_log_in_unencrypted(mode: TlsMode, peer: str) -> bool:
    """Return whether the password may go unencrypted to the address ``peer``.

    It may if TLS was switched off on purpose, but not if an attacker on the way has removed the
    offer of STARTTLS.
    """
    return mode is TlsMode.NONE or ipaddress.ip_address(peer.partition("%")[0]).is_loopback


class Handshake:
    """Opening of an SMTP session in steps: connection, TLS, log-in.

    Each step is used once, in this order: ``connect``, ``secure``, ``log_in``, ``hand_over``.
    A step returns a line about what it did, or the ``AccountTrouble`` that it met. After trouble,
    or when it is cancelled, the connection is closed. ``used_network``: the last step asked the
    server for something. ``dialogue`` is what both sides said, without secrets.
    """

    def __init__(
        self,
        login: SmtpLogin,
        *,
        local_hostname: str | None,
        tls_context: ssl.SSLContext,
        timeout: float,
        guard: NetworkGuard,
        tokens: TokenSource | None = None,
    ) -> None:
        """``timeout`` bounds the connection, each reply and TLS, in seconds.

        ``tokens`` has the access tokens of accounts that log in with them.
        """
        self.used_network = False
        self.dialogue: list[Entry] = []
        self._login = login
        self._local_hostname = local_hostname
        self._tls_context = tls_context
        self._timeout = timeout
        self._guard = guard
        self._tokens = tokens or NoTokens()
        self._redact = redaction_of(login)
        self._stage = Stage.GREETING
        self._protocol: SmtpProtocol | None = None
        self._implicit_tls = login.tls is TlsMode.SSL or (
            login.tls is TlsMode.AUTO and login.port == _IMPLICIT_TLS_PORT
        )

    async def connect(self) -> str | AccountTrouble:
        """TCP, TLS where it is implicit, greeting, EHLO."""
        return await self._step(self._connect())

    async def secure(self) -> str | AccountTrouble:
        """STARTTLS where the mode and the server ask for it."""
        return await self._step(self._secure())

    async def log_in(self) -> str | AccountTrouble:
        """AUTH, if the account has a user."""
        return await self._step(self._log_in())

    def hand_over(self) -> SmtpProtocol:
        """Return the open connection; its session knows the server's capabilities."""
        return self._connection

    @property
    def certificate(self) -> bytes | None:
        """Return the server's certificate (DER), or None without TLS."""
        tls = self._transport_info("ssl_object")
        return tls.getpeercert(True) if isinstance(tls, ssl.SSLObject) else None

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._protocol is not None:
            self._protocol.abort()

    @property
    def _connection(self) -> SmtpProtocol:
        assert self._protocol is not None, "connect comes first"
        return self._protocol

    @property
    def _capabilities(self) -> Capabilities:
        return self._connection.session.capabilities

    async def _connect(self) -> str:
        self.used_network = True
        try:
            async with asyncio.timeout(self._timeout):
                self._protocol = await self._dial()
        except TimeoutError:
            raise TimeoutError(f"no answer within {self._timeout:g} seconds") from None
        greeting = await self._protocol.greeting(self._timeout)
        self.dialogue.append(greeting)
        if verdict(Stage.GREETING, greeting) is not Verdict.ACCEPTED:
            raise RefusedError(Stage.GREETING, greeting)
        await self._say_hello()
        return greeting.text

    async def _dial(self) -> SmtpProtocol:
        login = self._login
        connected = await self._guard.connect(
            login.host, login.port, private_allowed=login.private_allowed
        )
        with ExitStack() as unless_taken_over:
            unless_taken_over.callback(connected.close)
            _, protocol = await asyncio.get_running_loop().create_connection(
                lambda: SmtpProtocol(self._redact),
                sock=connected,
                ssl=self._tls_context if self._implicit_tls else None,
                server_hostname=login.host if self._implicit_tls else None,
            )
            unless_taken_over.pop_all()
        return protocol

    async def _say_hello(self) -> None:
        self._stage = Stage.EHLO
        given = self._login.helo_name or self._local_hostname or full_host_name()
        name = given or address_literal(self._address("sockname"))
        capabilities = await self._talk(opening.say_hello(name))
        self._connection.session.capabilities = capabilities
        self._connection.session.most_recipients = capabilities.most_recipients

    async def _secure(self) -> str:
        self._stage = Stage.STARTTLS
        mode = self._login.tls
        if self._implicit_tls:
            return f"{self._tls_version()}, implicit"
        if mode is TlsMode.NONE:
            return "clear text"
        if not self._capabilities.starttls:
            if mode is TlsMode.AUTO:
                return "clear text: the server does not offer STARTTLS"
            raise ProblemError("the server does not offer STARTTLS")
        self.used_network = True
        await self._start_tls()
        # RFC 3207 section 4.2: what the server said in the clear is forgotten.
        await self._say_hello()
        return f"{self._tls_version()}, STARTTLS"

    async def _start_tls(self) -> None:
        reply = await self._connection.ask(b"STARTTLS\r\n", self._timeout)
        self.dialogue += (b"STARTTLS\r\n", reply)
        if verdict(Stage.STARTTLS, reply) is not Verdict.ACCEPTED:
            raise RefusedError(Stage.STARTTLS, reply)
        await self._connection.start_tls(self._tls_context, self._login.host, self._timeout)

    async def _log_in(self) -> str:
        self._stage = Stage.AUTH
        login = self._login
        if login.damage is not None:
            raise ProblemError(f"{login.damage}; save the account's password or auth")
        if login.user is None:
            return "no log-in"
        if not (self._is_encrypted() or self._may_log_in_unencrypted()):
            raise ProblemError("TLS is not to be had: the password is not sent")
        self.used_network = True
        if login.tokens is not None:
            await self._log_in_with_token(login.user, login.tokens)
            return f"logged in as {login.user} with an access token"
        await self._talk(
            opening.log_in(login.user, login.password or "", self._capabilities.auth), secret=True
        )
        return f"logged in as {login.user}"

    async def _log_in_with_token(self, user: str, login: TokenLogin) -> None:
        """Present a token, and a new one if the server refuses it for good."""
        token = await self._tokens.access_token(login)
        try:
            await self._present(user, token)
        except RefusedError as refused:
            if refused.reply.code // 100 != 5:
                raise
            token = await self._tokens.access_token(login, refused=token)
            # On a new connection: many servers close it after a refusal, or count refusals.
            self.close()
            self._stage = Stage.GREETING
            await self._connect()
            await self._secure()
            self._stage = Stage.AUTH
            await self._present(user, token)

    async def _present(self, user: str, token: str) -> None:
        host, port = self._login.host, self._login.port
        mechanisms = token_mechanisms(user, token, host, port)
        if isinstance(self._redact, Redaction):
            self._redact.add(token.encode(), *(response for _, response in mechanisms))
        dialogue = opening.log_in_with_token(mechanisms, self._capabilities.auth)
        await self._talk(dialogue, secret=True)

    async def _talk(self, dialogue: Dialogue[Result], *, secret: bool = False) -> Result:
        """Say what ``dialogue`` wants said."""
        try:
            command = next(dialogue)
            while True:
                self.dialogue.append(_redacted(command) if secret else command)
                try:
                    reply = await self._connection.ask(command, self._timeout)
                except BrokenConnectionError as error:
                    command = dialogue.throw(error)
                else:
                    self.dialogue.append(reply)
                    command = dialogue.send(reply)
        except StopIteration as end:
            result: Result = end.value
            return result

    def _transport_info(self, name: str) -> object:
        transport = self._connection.transport
        assert transport is not None
        return transport.get_extra_info(name)

    def _address(self, name: str) -> str:
        address = self._transport_info(name)
        return str(address[0]) if isinstance(address, tuple) else ""

    def _is_encrypted(self) -> bool:
        return self._transport_info("ssl_object") is not None

    def _may_log_in_unencrypted(self) -> bool:
        return may_log_in_unencrypted(self._login.tls, self._address("peername"))

    def _tls_version(self) -> str:
        tls = self._transport_info("ssl_object")
        return str(getattr(tls, "version", str)())

    async def _step(self, step: Coroutine[None, None, str]) -> str | AccountTrouble:
        is_done = self.used_network = False
        try:
            detail = await step
            is_done = True
        except RefusedError as error:
            trouble = account_trouble(error.stage, error.reply)
            return replace(trouble, reason=self._redact(trouble.reason))
        except (ProblemError, NoMechanismError, TokenTrouble, OSError, ValueError) as error:
            # ValueError: a host name that neither IDNA nor TLS can work with.
            return self._failed(error)
        finally:
            if not is_done:
                self.close()
        return detail

    def _failed(self, error: Exception) -> AccountTrouble:
        stage = account_stage(self._stage)
        if self._stage is Stage.GREETING and not isinstance(error, BrokenConnectionError):
            stage = "connect"
            if isinstance(error, socket.gaierror | UnicodeError):
                stage = "dns"
            elif isinstance(error, ssl.SSLError):
                stage = "tls"
        text = one_line(self._redact(str(error))) or type(error).__name__
        if self._protocol is None:
            text = f"no connection to {self._login.host} port {self._login.port}: {text}"
        return AccountTrouble(stage, text)


def _redacted(command: bytes) -> bytes:
    """Return a log-in command without the secret in it."""
    words = command.split()
    if words[:1] == [b"AUTH"]:
        return b" ".join(words[:2] + [b"***"] * (len(words) > 2)) + b"\r\n"
    return b"***\r\n"
