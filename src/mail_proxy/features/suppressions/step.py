"""The delivery step that leaves out recipients on the tenant's suppression list."""

from __future__ import annotations

from mail_proxy.delivery.pipeline import Outgoing, Step
from mail_proxy.domain.outcome import Failed, Outcome, RecipientResult, RecipientStatus
from mail_proxy.features.feature import StepParts
from mail_proxy.features.suppressions.address_set import AddressSet

NAME = "suppressions"
SUPPRESSED = "suppressed"


def suppression_step(parts: StepParts) -> Step:
    """Return the delivery step that refuses suppressed recipients.

    A mail of a tenant without suppressions costs a look-up in a dictionary.
    """

    def refuse(outgoing: Outgoing) -> Outcome | None:
        lists = parts.directory.snapshot.features.get(NAME, {})
        suppressed: AddressSet | None = lists.get(outgoing.account.tenant_id)
        if not suppressed:
            return None
        recipients = outgoing.recipients
        refused = tuple(
            RecipientResult(address, RecipientStatus.FAILED, None, SUPPRESSED)
            for address in recipients
            if address in suppressed
        )
        if refused and len(refused) == len(recipients):
            return Failed(SUPPRESSED, None, refused)
        outgoing.refused = refused
        return None

    return refuse
