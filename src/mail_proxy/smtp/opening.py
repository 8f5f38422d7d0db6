"""EHLO or HELO, and AUTH, of an SMTP session: a state machine without I/O.

Each dialogue is a generator. It yields a command and is sent the reply; it returns what came of
it, or raises ``RefusedError``. If the connection breaks, ``BrokenConnectionError`` is thrown in.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from mail_proxy.domain.oauth2 import OAUTHBEARER
from mail_proxy.smtp.capabilities import Capabilities
from mail_proxy.smtp.replies import CLOSING_CODE, Reply, Stage, Verdict, one_line, verdict

Result = TypeVar("Result")
Dialogue = Generator[bytes, Reply, Result]
#: More questions than any log-in has.
_MOST_QUESTIONS = 4
#: Refusals of a mechanism rather than of the token.
_UNKNOWN_MECHANISM = (500, 501, 502, 503, 504)
#: RFC 4954 section 4: with a longer command, the initial response goes in a line of its own.
_LONGEST_COMMAND = 512
#: Refusals that say more about the log-in than "syntax" or "unknown".
_CLEAR_CODES = (421, 432, 454, 530, 534, 535, 538)


class RefusedError(Exception):
    """The server does not let the session go on."""

    def __init__(self, stage: Stage, reply: Reply) -> None:
        super().__init__(f"{stage} refused: {reply}")
        self.stage = stage
        self.reply = reply


class NoMechanismError(Exception):
    """The server offers no way to log in that is known here."""


def say_hello(name: str) -> Dialogue[Capabilities]:
    """EHLO, and HELO for servers that refuse it for good (RFC 5321 section 3.2)."""
    refused = reply = yield b"EHLO %b\r\n" % name.encode("ascii", "replace")
    if reply.code // 100 == 5:
        try:
            reply = yield b"HELO %b\r\n" % name.encode("ascii", "replace")
        except ConnectionError:
            raise RefusedError(Stage.EHLO, refused) from None
        if reply.code // 100 == 2:
            return Capabilities()
    if verdict(Stage.EHLO, reply) is not Verdict.ACCEPTED:
        raise RefusedError(Stage.EHLO, reply)
    return Capabilities.of(reply.lines)


def log_in(user: str, password: str, offered: tuple[str, ...]) -> Dialogue[None]:
    """Try the AUTH mechanisms of the server, strongest first, until one is accepted.

    Servers advertise mechanisms that they do not support, and take some in one form only, so a
    refusal is followed by the next form or mechanism. Of many refusals, the one that says most
    is raised.
    """
    if not offered:
        raise NoMechanismError("the server offers no log-in (AUTH)")
    refusals: list[Reply] = []
    for forms in [forms for name, forms in _MECHANISMS if name in offered]:
        for form in forms:
            try:
                is_form_refused, reply = yield from form(user, password)
            except ConnectionError:
                if refusals:
                    raise _clearest(refusals) from None
                raise
            if verdict(Stage.AUTH, reply) is Verdict.ACCEPTED:
                return
            refusals.append(reply)
            if reply.code == CLOSING_CODE:
                raise _clearest(refusals)
            if not is_form_refused:
                break
    if not refusals:
        raise NoMechanismError(f"no known way to log in among {' '.join(offered)[:200]}")
    raise _clearest(refusals)


def log_in_with_token(
    mechanisms: Sequence[tuple[str, bytes]], offered: tuple[str, ...]
) -> Dialogue[None]:
    """Log in with an access token by the first mechanism that the server offers.

    ``mechanisms`` are names with their initial responses (``token_mechanisms``). A mechanism that
    the server advertises and does not know is followed by the next one.
    """
    usable = [(name, response) for name, response in mechanisms if name in offered]
    if not usable:
        text = " ".join(offered)[:200] or "none"
        raise NoMechanismError(f"the server offers no log-in with tokens, but: {text}")
    for name, response in usable:
        reply = yield from _present(name, response)
        if verdict(Stage.AUTH, reply) is Verdict.ACCEPTED:
            return
        if reply.code not in _UNKNOWN_MECHANISM:
            break
    raise RefusedError(Stage.AUTH, reply)


def _present(name: str, response: bytes) -> Dialogue[Reply]:
    """Send the initial response; return the final reply, with the words of a refusal.

    A server explains a refusal in a challenge, and waits for one more line before it refuses.
    """
    encoded = _encoded(response)
    command = b"AUTH %b %b\r\n" % (name.encode(), encoded)
    if len(command) <= _LONGEST_COMMAND:
        reply = yield command
    else:
        reply = yield b"AUTH %b\r\n" % name.encode()
        if reply.code == 334:
            reply = yield encoded + b"\r\n"
    words = ""
    for _ in range(_MOST_QUESTIONS):
        if reply.code != 334:
            break
        words = words or _explained(reply.text)
        # RFC 7628 section 3.2.3: one octet, 1. XOAUTH2 wants an empty line.
        reply = yield b"AQ==\r\n" if name == OAUTHBEARER else b"\r\n"
    if reply.code == 334:
        reply = yield b"*\r\n"
    if words and reply.code // 100 in (4, 5):
        return Reply(reply.code, one_line(f"{reply.text} {words}"), reply.lines)
    return reply


def _clearest(refusals: list[Reply]) -> RefusedError:
    clear = [reply for reply in refusals if reply.code in _CLEAR_CODES]
    return RefusedError(Stage.AUTH, (clear or refusals)[-1])


def _plain(user: str, password: str) -> Dialogue[tuple[bool, Reply]]:
    """AUTH PLAIN (RFC 4616) with the secret in the command."""
    secret = _plain_secret(user, password)
    reply = yield b"AUTH PLAIN %b\r\n" % secret
    is_form_refused = reply.code in (500, 501)
    return is_form_refused, (yield from _answer_all(reply, lambda _, __: secret))


def _plain_asked(user: str, password: str) -> Dialogue[tuple[bool, Reply]]:
    """AUTH PLAIN for servers that ask for the secret."""
    secret = _plain_secret(user, password)
    reply = yield b"AUTH PLAIN\r\n"
    return False, (yield from _answer_all(reply, lambda _, __: secret))


def _plain_secret(user: str, password: str) -> bytes:
    return _encoded(f"\0{user}\0{password}".encode())


def _login(user: str, password: str) -> Dialogue[tuple[bool, Reply]]:
    """Log in with AUTH LOGIN: the server asks for the name, then for the password."""
    reply = yield b"AUTH LOGIN\r\n"
    is_form_refused = reply.code // 100 == 5
    return is_form_refused, (yield from _answer_login(reply, user, password, is_named=False))


def _login_named(user: str, password: str) -> Dialogue[tuple[bool, Reply]]:
    """AUTH LOGIN for servers that want the name in the command."""
    reply = yield b"AUTH LOGIN %b\r\n" % _encoded(user.encode())
    return False, (yield from _answer_login(reply, user, password, is_named=True))


def _answer_login(reply: Reply, user: str, password: str, *, is_named: bool) -> Dialogue[Reply]:
    """Answer by the words of each question, or by its place if they say nothing."""

    def answer(question: str, number: int) -> bytes:
        is_name = "user" in question or (number == 0 and not is_named and "pass" not in question)
        return _encoded((user if is_name else password).encode())

    return (yield from _answer_all(reply, answer))


def _cram_md5(user: str, password: str) -> Dialogue[tuple[bool, Reply]]:
    """AUTH CRAM-MD5 (RFC 2195)."""
    reply = yield b"AUTH CRAM-MD5\r\n"
    if reply.code != 334:
        return False, reply
    try:
        challenge = base64.b64decode(reply.text, validate=True)
    except binascii.Error:
        return False, (yield b"*\r\n")
    digest = hmac.new(password.encode(), challenge, "md5").hexdigest()
    return False, (yield _encoded(f"{user} {digest}".encode()) + b"\r\n")


def _answer_all(reply: Reply, answer: Callable[[str, int], bytes]) -> Dialogue[Reply]:
    """Answer the questions of AUTH (334); ``answer`` gets the text and its number.

    The text is decoded and in lower case.
    """
    for number in range(_MOST_QUESTIONS):
        if reply.code != 334:
            return reply
        reply = yield answer(_decoded(reply.text), number) + b"\r\n"
    return (yield b"*\r\n") if reply.code == 334 else reply


def _explained(text: str) -> str:
    """Return the words of a challenge, whose end may be cut off."""
    try:
        words = base64.b64decode(text[: len(text) // 4 * 4], validate=True)
    except (binascii.Error, ValueError):
        return ""
    return words.decode("utf-8", "replace")


def _encoded(octets: bytes) -> bytes:
    return base64.b64encode(octets)


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("latin-1").lower()
    except (binascii.Error, ValueError):
        return text.lower()


#: The refusal of AUTH, and whether the server refused its form rather than the log-in.
_Form = Callable[[str, str], Dialogue[tuple[bool, Reply]]]
_MECHANISMS: tuple[tuple[str, tuple[_Form, ...]], ...] = (
    ("CRAM-MD5", (_cram_md5,)),
    ("PLAIN", (_plain, _plain_asked)),
    ("LOGIN", (_login, _login_named)),
)
