"""The steps of one delivery, from the stored message to the server's answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from mail_proxy.delivery.fair_semaphore import FairSemaphore
from mail_proxy.domain.account import Account
from mail_proxy.domain.mail import Mail
from mail_proxy.domain.outcome import Failed, Outcome
from mail_proxy.domain.tenant import Tenant
from mail_proxy.kit.clock import Clock
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.compose import compose as compose_mail
from mail_proxy.smtp.envelope import Burst
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.sql.messages.mail_codec import load_mail
from mail_proxy.sql.messages.queue import ClaimedMessage


@dataclass(slots=True)
class Outgoing:
    """One attempt to deliver a message: what the steps read and fill in.

    ``load`` sets ``mail``, ``compose`` sets ``composed``. Steps of features may replace both.
    """

    account: Account
    tenant: Tenant
    message: ClaimedMessage
    mail: Mail | None = None
    composed: ComposedMail | None = None

    @property
    def recipients(self) -> Sequence[str]:
        """The envelope recipients of this attempt: those that earlier attempts left over."""
        if self.message.recipients_left:
            return self.message.recipients_left
        assert self.mail is not None, "the step `load` comes first"
        return self.mail.recipients


#: A step returns None to go on, or the outcome that ends the delivery. A step that waits for
#: something returns an awaitable of the same. Plain functions cost a plain message no task and
#: no turn of the event loop.
Step = Callable[[Outgoing], Outcome | Awaitable[Outcome | None] | None]
#: A place between the built-in steps where features put steps of their own.
Slot = Literal["attachments", "large files", "signing"]
FeatureSteps = Mapping[Slot, Sequence[Step]]


def preparing_steps(clock: Clock, features: FeatureSteps) -> tuple[Step, ...]:
    """Return the steps, in order, that prepare a mail before it takes an SMTP slot."""

    def slot(name: Slot) -> Sequence[Step]:
        return features.get(name, ())

    return (
        load,
        *slot("attachments"),
        *slot("large files"),
        partial(compose, clock),
        *slot("signing"),
    )


def load(outgoing: Outgoing) -> None:
    """Read the mail from the message's stored JSON."""
    outgoing.mail = load_mail(outgoing.message.content)


def compose(clock: Clock, outgoing: Outgoing) -> Outcome | None:
    """Write the mail's octets, with the present time as its Date."""
    assert outgoing.mail is not None, "the step `load` comes first"
    try:
        outgoing.composed = compose_mail(
            outgoing.mail, tracking_id=outgoing.message.id, date=clock.now()
        )
    except ValueError as error:
        return Failed(f"the message cannot be composed: {error}")
    return None


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
