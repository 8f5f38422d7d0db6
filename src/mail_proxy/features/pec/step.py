"""The delivery step of PEC accounts: last checks, and the note of the attempt."""

from __future__ import annotations

from collections.abc import Awaitable

from mail_proxy.delivery.pipeline import Outgoing, Step
from mail_proxy.domain.certified import objections, shape_of
from mail_proxy.domain.outcome import Failed, Outcome, RecipientResult, RecipientStatus, Sent
from mail_proxy.features.feature import StepParts

PROVED = "accepted, as a PEC receipt shows"


def certified_step(parts: StepParts) -> Step:
    """Return the step that checks a PEC message and notes that it is being sent.

    A message of another account costs a look at a field. A message whose acceptance has arrived
    already is not sent again.
    """

    def certify(outgoing: Outgoing) -> Outcome | Awaitable[Outcome | None] | None:
        return _certified(parts, outgoing) if outgoing.account.is_pec else None

    return certify


async def _certified(parts: StepParts, outgoing: Outgoing) -> Outcome | None:
    composed, message = outgoing.composed, outgoing.message
    assert composed is not None, "the step `compose` comes first"
    shape = shape_of(outgoing.mail, composed.size)
    wrong = [text for _, text in objections(shape, parts.config.pec.pec_max_mb)]
    if wrong:
        return Failed("; ".join(wrong))
    now = parts.clock.now()
    is_accepted = await parts.db.write(
        parts.tables.pec.begin,
        message.pk,
        message.tenant_id,
        outgoing.mail.message_id,
        now,
        now + parts.config.pec.pec_acceptance_timeout,
    )
    # Recipients who were put off have not got it with the others.
    if not is_accepted or message.recipients_left:
        return None
    results = [
        RecipientResult(address, RecipientStatus.SENT, None, PROVED)
        for address in outgoing.recipients
    ]
    return Sent(tuple(results), 250, PROVED)
