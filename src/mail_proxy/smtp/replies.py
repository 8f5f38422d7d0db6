"""Rules that turn SMTP replies into outcomes (RFC 5321 section 4.2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, StrEnum
from typing import NamedTuple

from mail_proxy.domain.outcome import (
    AccountTrouble,
    Deferred,
    Failed,
    RecipientResult,
    RecipientStatus,
    Sent,
    Uncertain,
)

#: The reply with which a server ends the session, at any moment (RFC 5321 section 3.8).
CLOSING_CODE = 421
#: "Bad sequence of commands" (RFC 5321 section 4.2.2).
OUT_OF_ORDER_CODE = 503
_MAX_RESPONSE = 500
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?: |$)")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Reply(NamedTuple):
    """One complete SMTP reply. ``text`` is one line of at most 500 characters.

    ``lines`` are the lines of a reply that has more than one, each without its code.
    """

    code: int
    text: str
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.code} {self.text}" if self.text else str(self.code)


class Stage(StrEnum):
    """Step of the session that a reply belongs to."""

    GREETING = "greeting"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    END_OF_DATA = "end of data"


class Verdict(Enum):
    """Meaning of a reply for the message.

    ``ACCOUNT``: every message of the account would be refused now. ``UNEXPECTED``: client and
    server are out of step, so the connection cannot be used any more.
    """

    ACCEPTED = "accepted"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    ACCOUNT = "account"
    UNEXPECTED = "unexpected"


#: First digit of the reply that lets the session go on (RFC 5321 sections 4.2.1 and 4.3.2).
_ACCEPTING_CLASS = {
    Stage.GREETING: 2,
    Stage.EHLO: 2,
    Stage.STARTTLS: 2,
    Stage.AUTH: 2,
    Stage.MAIL: 2,
    Stage.RCPT: 2,
    Stage.DATA: 3,
    Stage.END_OF_DATA: 2,
}
#: Before MAIL every refusal is about the account (RFC 5321 section 3.1, RFC 3207, RFC 4954).
_ACCOUNT_STAGES = {
    Stage.GREETING: "greeting",
    Stage.EHLO: "ehlo",
    Stage.STARTTLS: "tls",
    Stage.AUTH: "auth",
}
_REFUSING_CLASS = {4: Verdict.TEMPORARY, 5: Verdict.PERMANENT}
#: Codes with which a server refuses the session after any command, and the stage to report.
_ACCOUNT_CODES = {
    530: "auth",  # RFC 4954: authentication required; RFC 3207: STARTTLS first
    534: "auth",  # RFC 4954: mechanism too weak
    535: "auth",  # RFC 4954: credentials invalid
    538: "auth",  # RFC 4954: encryption required for the mechanism
}
#: (stage, code) that do not mean what their first digit says.
_EXCEPTIONS = {
    (Stage.MAIL, CLOSING_CODE): Verdict.ACCOUNT,  # the server has not checked the message yet
    (Stage.MAIL, 454): Verdict.ACCOUNT,  # RFC 4954 section 6: temporary authentication failure
}


def verdict(stage: Stage, reply: Reply) -> Verdict:
    """Return what ``reply`` means at ``stage``, by its code and enhanced code."""
    code = reply.code
    first_digit = code // 100
    if first_digit == _ACCEPTING_CLASS[stage]:
        return Verdict.ACCEPTED
    if first_digit not in _REFUSING_CLASS:
        return Verdict.UNEXPECTED
    if stage in _ACCOUNT_STAGES or code in _ACCOUNT_CODES:
        return Verdict.ACCOUNT
    if stage is Stage.RCPT and code == 552 and _means_too_many_recipients(reply):
        return Verdict.TEMPORARY
    return _EXCEPTIONS.get((stage, code), _REFUSING_CLASS[first_digit])


def _means_too_many_recipients(reply: Reply) -> bool:
    """Return whether a 552 means too many recipients (RFC 5321 section 4.5.3.1.10).

    Old servers answer 552 instead of 452. An enhanced code other than X.5.3 (RFC 3463) shows that
    the 552 is about the mailbox.
    """
    enhanced = enhanced_code(reply)
    return enhanced is None or enhanced.endswith(".5.3")


def is_recipient_limit(reply: Reply) -> bool:
    """Return whether a refusal of RCPT after accepted ones is a recipient limit.

    The recipient is then for another transaction.

    A 452 counts unless its enhanced code is about an address or a mailbox (X.1.X, X.2.X). The
    next transaction shows whether it was meant otherwise.
    """
    if reply.code == 452:
        return (enhanced_code(reply) or "4.5.3")[2:4] not in ("1.", "2.")
    return reply.code == 552 and _means_too_many_recipients(reply)


def ends_session(reply: Reply) -> bool:
    """Return whether a refusal of MAIL on a used session is about the session.

    421 ends it, 451 is what some servers say before they close an idle one, 503 waits for RSET,
    and 452 with X.5.3 means too many messages. A new session shows whether it was meant so.
    """
    if reply.code == 452:
        return (enhanced_code(reply) or "").endswith(".5.3")
    return reply.code in (CLOSING_CODE, 451, OUT_OF_ORDER_CODE)


def enhanced_code(reply: Reply) -> str | None:
    """Return the enhanced status code (RFC 3463) of a reply, such as ``5.1.1``."""
    match = _ENHANCED.match(reply.text)
    return match[1] if match else None


def one_line(text: str) -> str:
    """Make server text printable, on one line of at most 500 characters."""
    if not text.isprintable():
        text = _UNPRINTABLE.sub(" ", text)
    return text.strip()[:_MAX_RESPONSE]


def account_trouble(stage: Stage, reply: Reply) -> AccountTrouble:
    """Return the outcome of a reply whose verdict is ``ACCOUNT``."""
    return AccountTrouble(account_stage(stage, reply), f"{stage} refused: {reply}", reply.code)


def account_stage(stage: Stage, reply: Reply | None = None) -> str:
    """Return the name under which ``AccountTrouble`` reports a refusal at ``stage``."""
    by_code = None if reply is None else _ACCOUNT_CODES.get(reply.code)
    return _ACCOUNT_STAGES.get(stage) or by_code or "greeting"


def recipient_result(address: str, reply: Reply) -> RecipientResult:
    """Return a recipient's result after RCPT. Accepted counts as sent for now."""
    return _result(address, verdict(Stage.RCPT, reply), reply)


_STATUS = {
    Verdict.ACCEPTED: RecipientStatus.SENT,
    Verdict.TEMPORARY: RecipientStatus.DEFERRED,
    Verdict.ACCOUNT: RecipientStatus.DEFERRED,
    Verdict.PERMANENT: RecipientStatus.FAILED,
}


def _result(address: str, verdict: Verdict, reply: Reply) -> RecipientResult:
    return RecipientResult(address, _STATUS[verdict], reply.code, reply.text)


def sent(recipients: Sequence[RecipientResult], reply: Reply) -> Sent:
    """Return the outcome if the server accepted the end of data."""
    return Sent(tuple(recipients), reply.code, reply.text)


def all_refused(recipients: Sequence[RecipientResult]) -> Deferred | Failed:
    """Return the outcome if RCPT was refused for all recipients.

    One temporary refusal is enough to retry.
    """
    deferred = [r for r in recipients if r.status is RecipientStatus.DEFERRED]
    deciding = (deferred or recipients)[-1]
    reason = f"{deciding.address}: {deciding.code} {deciding.response}"
    kind = Deferred if deferred else Failed
    return kind(reason, deciding.code, tuple(recipients))


def message_refused(
    stage: Stage, reply: Reply, recipients: Sequence[RecipientResult] = ()
) -> Deferred | Failed | AccountTrouble:
    """Return the outcome if MAIL, DATA or the end of data was refused.

    The reply holds for every recipient except those that RCPT had refused permanently.
    """
    judgement = verdict(stage, reply)
    if judgement is Verdict.ACCOUNT:
        return account_trouble(stage, reply)
    results = tuple(
        r if r.status is RecipientStatus.FAILED else _result(r.address, judgement, reply)
        for r in recipients
    )
    kind = Deferred if judgement is Verdict.TEMPORARY else Failed
    return kind(f"{stage} refused: {reply}", reply.code, results)


def unanswered(reason: str, recipients: Sequence[RecipientResult]) -> Uncertain:
    """Return the outcome if no reply followed the complete message.

    Recipients that RCPT had accepted are deferred.
    """
    return Uncertain(
        reason,
        tuple(
            RecipientResult(r.address, RecipientStatus.DEFERRED, None, reason)
            if r.status is RecipientStatus.SENT
            else r
            for r in recipients
        ),
    )
