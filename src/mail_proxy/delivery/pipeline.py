"""The steps of one delivery, from the stored message to the server's answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mail_proxy.delivery.fair_semaphore import FairSemaphore
from mail_proxy.domain.account import Account
from mail_proxy.domain.mail import Mail, dated
from mail_proxy.domain.outcome import Failed, Outcome, RecipientResult
from mail_proxy.domain.tenant import Tenant
from mail_proxy.kit.side_thread import SideThread
from mail_proxy.smtp.compose import ComposedMail, date_line, header_length
from mail_proxy.smtp.compose import compose as compose_mail
from mail_proxy.smtp.envelope import Burst
from mail_proxy.smtp.multipart import MailFile
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.smtp.streamed import Rest
from mail_proxy.sql.messages.mail_codec import StoredMail
from mail_proxy.sql.messages.queue import ClaimedMessage
from mail_proxy.sql.messages.raw_text import RawText

#: Characters of a stored message from which it is read and composed beside the event loop. Up to
#: there that takes 1.5 ms, or 15 ms if the message is nothing but header.
_LARGE = 64_000
#: Of the addresses, the subject and the extra headers together. Messages that were stored before
#: each of these had a bound of its own may be longer.
_LONGEST_HEADER = 2_000_000
_BESIDE = SideThread("compose")


@dataclass(slots=True)
class Outgoing:
    """Attempt to deliver a message, with the fields that the steps read and fill in.

    ``load`` sets ``stored``, ``compose`` sets ``composed`` if it is not set. Steps of features may
    set ``mail`` before ``compose``, and replace ``composed`` behind it. ``files`` are the
    attachments, once their contents are there. ``refused`` are recipients that the server is not
    asked about, ``return_path`` replaces the envelope sender.
    """

    account: Account
    tenant: Tenant
    message: ClaimedMessage
    stored: StoredMail | None = None
    composed: ComposedMail | None = None
    files: Sequence[MailFile] | None = None
    refused: tuple[RecipientResult, ...] = ()
    return_path: str | None = None
    _mail: Mail | None = None

    @property
    def mail(self) -> Mail:
        """The mail, read when it is needed first."""
        if self._mail is None:
            self._mail = self._loaded.mail()
        return self._mail

    @mail.setter
    def mail(self, mail: Mail) -> None:
        self._mail = mail
        self._loaded.composed = None

    @property
    def is_large(self) -> bool:
        """True if preparing the mail takes too long for the event loop."""
        return len(self.message.content) > _LARGE

    @property
    def envelope_sender(self) -> str:
        """The reverse-path of the envelope."""
        if self.return_path is not None:
            return self.return_path
        return self._loaded.envelope_sender if self._mail is None else self._mail.envelope_sender

    @property
    def names_sender(self) -> bool:
        """True if the message names its envelope sender, which is not its From then."""
        return self._loaded.return_path is not None

    @property
    def recipients(self) -> Sequence[str]:
        """The envelope recipients of this attempt: those that earlier attempts left over."""
        if self.message.recipients_left:
            return self.message.recipients_left
        return self._loaded.recipients if self._mail is None else self._mail.recipients

    @property
    def _loaded(self) -> StoredMail:
        assert self.stored is not None, "the step `load` comes first"
        return self.stored


#: A step returns None to go on, or the outcome that ends the delivery. A step that waits for
#: something returns an awaitable of the same. Plain functions cost a plain message no task and
#: no turn of the event loop.
Step = Callable[[Outgoing], Outcome | Awaitable[Outcome | None] | None]
#: A place between the built-in steps where features put steps of their own.
Slot = Literal["recipients", "attachments", "large files", "signing"]
FeatureSteps = Mapping[Slot, Sequence[Step]]


def preparing_steps(features: FeatureSteps) -> tuple[Step, ...]:
    """Return the steps, in order, that prepare a mail before it takes an SMTP slot."""

    def slot(name: Slot) -> Sequence[Step]:
        return features.get(name, ())

    return (
        load,
        *_recipient_steps(slot("recipients"), are_stored=True),
        *slot("attachments"),
        *_recipient_steps(slot("recipients"), are_stored=False),
        *slot("large files"),
        compose,
        *slot("signing"),
    )


def _recipient_steps(steps: Sequence[Step], *, are_stored: bool) -> Sequence[Step]:
    """Return a step that runs ``steps`` if the recipients are stored, or if not.

    A raw message that is fetched may have its recipients in its header alone.
    """

    def run(outgoing: Outgoing) -> Outcome | Awaitable[Outcome | None] | None:
        stored = outgoing.stored
        assert stored is not None, "the step `load` comes first"
        return prepare(steps, outgoing) if stored.names_recipients is are_stored else None

    return [run] if steps else []


def load(outgoing: Outgoing) -> Awaitable[None] | None:
    """Read the mail from the message's stored JSON."""
    if outgoing.is_large:
        return _BESIDE.run(_load, outgoing)
    _load(outgoing)
    return None


def _load(outgoing: Outgoing) -> None:
    outgoing.stored = StoredMail(outgoing.message.content)


def compose(outgoing: Outgoing) -> Outcome | Awaitable[Outcome | None] | None:
    """Write the mail's octets, with the same Date at each attempt."""
    if outgoing.composed is not None:
        return None
    if outgoing.is_large:
        return _BESIDE.run(_compose_large, outgoing)
    return _compose(outgoing)


def _compose_large(outgoing: Outgoing) -> Outcome | None:
    """Compose a mail unless its header is longer than any that the service takes in."""
    size = header_length(outgoing.mail)
    if size > _LONGEST_HEADER:
        return Failed(f"the header has {size} characters; allowed: {_LONGEST_HEADER}")
    return _compose(outgoing)


def _compose(outgoing: Outgoing) -> Outcome | None:
    stored, message = outgoing.stored, outgoing.message
    assert stored is not None, "the step `load` comes first"
    if stored.composed is not None:
        before, after = stored.composed
        date = dated(stored.not_before, message.created_at)
        outgoing.composed = ComposedMail(b"".join((before, date_line(date), after)), False, False)
        return None
    if stored.raw is not None:
        outgoing.composed = composed_raw(stored.raw, dated(stored.not_before, message.created_at))
        return None
    mail, files = outgoing.mail, outgoing.files
    assert files is not None or not mail.attachments, "a step sets the files"
    date = mail.dated(message.created_at)
    try:
        outgoing.composed = compose_mail(mail, tracking_id=message.id, date=date, files=files or ())
    except ValueError as error:
        return Failed(f"the message cannot be composed: {error}")
    return None


def composed_raw(raw: RawText, date: float) -> ComposedMail:
    """Return a raw message with the fields that it lacks; ``date`` in Unix seconds.

    A long one is read while it is sent.
    """
    rest = Rest((raw,)) if raw.size else None
    return ComposedMail(raw.begin(date_line(date)), raw.needs_smtputf8, raw.is_8bit, rest)


def prepare(
    steps: Sequence[Step], outgoing: Outgoing
) -> Outcome | Coroutine[Any, Any, Outcome | None] | None:
    """Run ``steps`` up to the first outcome; a coroutine if a step has to wait.

    Not a coroutine function, so that mails whose steps are all plain functions can be prepared
    where nothing may wait, as between two mails of one SMTP session.
    """
    for done, step in enumerate(steps, start=1):
        result = step(outgoing)
        if result is None:
            continue
        if isinstance(result, Outcome):
            return result
        return _after_wait(result, steps[done:], outgoing)
    return None


async def _after_wait(
    waiting: Awaitable[Outcome | None], rest: Sequence[Step], outgoing: Outgoing
) -> Outcome | None:
    outcome = await waiting
    if outcome is not None:
        return outcome
    result = prepare(rest, outgoing)
    return result if result is None or isinstance(result, Outcome) else await result


class Pipeline:
    """Prepares mails, and sends them in bursts over the process's SMTP slots.

    A mail is prepared before it takes a slot, so that a step that waits for something other
    than the mail server keeps no slot from other tenants.
    """

    def __init__(self, steps: Sequence[Step], slots: FairSemaphore, sender: SmtpSender) -> None:
        self.slots = slots
        self._steps = steps
        self._sender = sender

    def prepare(self, outgoing: Outgoing) -> Outcome | Coroutine[Any, Any, Outcome | None] | None:
        """Run the steps as ``prepare`` does."""
        return prepare(self._steps, outgoing)

    async def send(self, account: Account, burst: Burst) -> None:
        """Wait for a slot and send the mails of ``burst`` in it."""
        slot = await self.slots.acquire(account.tenant_id, account.pk)
        try:
            await self._sender.send_burst(account.login, burst)
        finally:
            self.slots.release(slot)
