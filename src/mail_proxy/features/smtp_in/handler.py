"""Answers to the commands of submission: log-in, envelope, mails that are queued."""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import dataclass
from typing import Any

from aiosmtpd.smtp import MISSING, AuthResult, Envelope, Session

from mail_proxy.errors import (
    Conflict,
    Forbidden,
    InactiveTenant,
    MailProxyError,
    NothingUsable,
    TooManyRequests,
    Unauthorized,
)
from mail_proxy.features.feature import ListenerParts
from mail_proxy.features.smtp_in.record import Origin, Submission, WrongOption, record_of
from mail_proxy.features.smtp_in.session import SubmissionSession
from mail_proxy.kit.ids import uuid7
from mail_proxy.kit.side_thread import SideThread
from mail_proxy.operations import intake
from mail_proxy.operations.callers import Caller, Stranger
from mail_proxy.wire.addresses import parse_mailbox
from mail_proxy.wire.batches import parse_batch
from mail_proxy.wire.message_bounds import MOST_RECIPIENTS
from mail_proxy.wire.new_messages import RejectionCode

_MOST_FAILURES = 3
#: The null reverse-path, as aiosmtpd passes it on.
_NOBODY = "<>"
#: A mail of this size is read within about a millisecond.
_MOST_BYTES_ON_LOOP = 64_000
_LONGEST_WORDS = 300
_BESIDE = SideThread("smtp-in")


@dataclass(frozen=True, slots=True)
class _Login:
    """A tenant's log-in. The key is checked again for each mail."""

    tenant_id: str
    key: str

    def __repr__(self) -> str:
        return f"_Login({self.tenant_id})"


class SubmissionHandler:
    """Hooks of aiosmtpd. A mail gets its 250 when it is committed, and not before."""

    def __init__(self, parts: ListenerParts, hostname: str, failure_seconds: float) -> None:
        """``failure_seconds`` is the delay of the first refused log-in, doubled by each."""
        self._parts = parts
        self._hostname = hostname
        self._failure_seconds = failure_seconds

    async def auth_PLAIN(self, server: SubmissionSession, args: list[str]) -> AuthResult:  # noqa: N802
        """Log in with AUTH PLAIN (RFC 4616)."""
        given = args[1] if len(args) > 1 else None
        response = await _decoded(server, given, "")
        if response is None:
            return AuthResult(success=False, handled=True)
        parts = response.split(b"\0")
        if len(parts) != 3:
            return AuthResult(success=False, handled=False, message="501 5.5.2 not AUTH PLAIN")
        return await self._log_in(server, parts[1], parts[2])

    async def auth_LOGIN(self, server: SubmissionSession, args: list[str]) -> AuthResult:  # noqa: N802
        """Log in with AUTH LOGIN: the name, then the password."""
        user = await _decoded(server, args[1] if len(args) > 1 else None, "Username:")
        password = None if user is None else await _decoded(server, None, "Password:")
        if user is None or password is None:
            return AuthResult(success=False, handled=True)
        return await self._log_in(server, user, password)

    async def handle_MAIL(  # noqa: N802
        self,
        server: SubmissionSession,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """Take the envelope sender, or the null reverse-path."""
        if address != _NOBODY and (wrong := _mistake(address)) is not None:
            return f"553 5.1.7 {wrong}"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self,
        server: SubmissionSession,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """Take a recipient, up to the number that a message may have."""
        if len(envelope.rcpt_tos) >= MOST_RECIPIENTS:
            return f"452 4.5.3 too many recipients; allowed: {MOST_RECIPIENTS}"
        if (wrong := _mistake(address)) is not None:
            return f"553 5.1.3 {wrong}"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SubmissionSession, session: Session, envelope: Envelope
    ) -> str:
        """Queue the mail, and answer when it is on disk."""
        content = envelope.content
        assert isinstance(content, bytes)
        origin = Origin(
            session.host_name or "", server.address, self._hostname, server.is_encrypted
        )
        submission = Submission(envelope.mail_from or "", tuple(envelope.rcpt_tos), content, origin)
        try:
            login: Any = session.auth_data
            return await self._queue(submission, login)
        except WrongOption as error:
            return f"550 5.6.0 {error}"
        except MailProxyError as error:
            return _refusal(error)

    async def handle_exception(self, error: Exception) -> str:
        """Answer an error that nobody expected; its text stays here."""
        if isinstance(error, MailProxyError):
            return _refusal(error)
        return "451 4.3.0 internal error"

    async def _queue(self, submission: Submission, login: _Login) -> str:
        now = self._parts.parts.clock.now()
        caller = await self._caller(login, submission.origin.address, "SMTP DATA")
        self._parts.call_rates.take(login.tenant_id)
        usual_id = uuid7()
        arguments = (submission, usual_id, now)
        if len(submission.content) <= _MOST_BYTES_ON_LOOP:
            record = record_of(*arguments)
        else:
            record = await _BESIDE.run(record_of, *arguments)
        id_ = record["id"]
        if id_ == usual_id or not await self._is_known(login.tenant_id, id_):
            batch = parse_batch({"messages": [record]}, 1)
            await self._parts.door.call(intake.add, caller, batch, login.tenant_id)
        return f"250 2.0.0 queued as {_one_line(id_)}"

    async def _is_known(self, tenant_id: str, id_: str) -> bool:
        parts = self._parts.parts
        return bool(await parts.db.read(parts.tables.messages.states, [(tenant_id, id_)]))

    async def _log_in(self, server: SubmissionSession, user: bytes, key: bytes) -> AuthResult:
        try:
            login = _Login(user.decode(), key.decode())
            await self._caller(login, server.address, "SMTP AUTH")
        except UnicodeDecodeError:
            return await self._refuse(server, "user and password must be UTF-8")
        except (Unauthorized, InactiveTenant, Forbidden) as error:
            who = Stranger(None, "SMTP AUTH", server.address)
            await self._parts.refusals.record(who, Unauthorized(error.message))
            return await self._refuse(server, "user is the tenant, password its key")
        except TooManyRequests as error:
            server.failures = _MOST_FAILURES
            return await self._refuse(server, error.message)
        return AuthResult(success=True, auth_data=_Authenticated(login))

    async def _refuse(self, server: SubmissionSession, words: str) -> AuthResult:
        """Refuse a log-in, later each time; end the session after the third."""
        server.failures += 1
        await asyncio.sleep(self._failure_seconds * 2 ** min(server.failures - 1, 3))
        if server.failures >= _MOST_FAILURES and server.transport is not None:
            await server.push(f"421 4.7.0 {words}; too many refused log-ins")
            server.transport.close()
            return AuthResult(success=False, handled=True)
        return AuthResult(success=False, handled=False, message=f"535 5.7.8 {words}")

    async def _caller(self, login: _Login, address: str, endpoint: str) -> Caller:
        """Return the tenant as a caller. Raises Unauthorized and the like."""
        authenticate = self._parts.authenticator.authenticate
        caller = await authenticate(login.key, address, loopback=False)
        if caller.tenant_id is None or caller.tenant_id != login.tenant_id:
            raise Unauthorized("the user is not the tenant of the key")
        return caller.at(endpoint, address, uuid7())


class _Authenticated(_Login):
    """Log-in in the form that aiosmtpd keeps; ``login`` names the session's owner."""

    def __init__(self, login: _Login) -> None:
        super().__init__(login.tenant_id, login.key)

    @property
    def login(self) -> str:
        """The tenant, whose share of memory its mails use."""
        return self.tenant_id


async def _decoded(server: SubmissionSession, given: str | None, challenge: str) -> bytes | None:
    """Return the octets of a response, asked for if not given; None if that failed."""
    if given is None:
        found: Any = await server.challenge_auth(challenge)
        return None if found is MISSING else bytes(found)
    found = await _of_base64(server, given)
    return None if found is None else bytes(found)


async def _of_base64(server: SubmissionSession, text: str) -> bytes | None:
    try:
        return base64.b64decode("" if text == "=" else text, validate=True)
    except (binascii.Error, ValueError):
        await server.push("501 5.5.2 the response is not base64")
        return None


def _mistake(address: str) -> str | None:
    try:
        parse_mailbox(address)
    except ValueError as error:
        return _one_line(str(error))
    return None


def _refusal(error: MailProxyError) -> str:
    """Return the reply to a mail that was not queued: 5xx if it never will be."""
    if isinstance(error, NothingUsable):
        rejected = error.detail["rejected"][0]
        words = _one_line(rejected["reason"])
        if rejected["code"] == RejectionCode.TOO_LARGE:
            return f"552 5.3.4 {words}"
        return f"550 5.6.0 {words}"
    words = _one_line(error.message)
    if isinstance(error, Unauthorized | Forbidden):
        return f"535 5.7.8 {words}"
    if isinstance(error, Conflict | TooManyRequests):
        return f"452 4.3.1 {words}"
    return f"451 4.3.0 {words}" if error.http_status >= 500 else f"550 5.6.0 {words}"


def _one_line(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:_LONGEST_WORDS]
