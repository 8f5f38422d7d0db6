"""The delivery step that leaves out recipients on the tenant's suppression list."""

from __future__ import annotations

from mail_proxy.delivery.pipeline import Outgoing, Step
from mail_proxy.domain.outcome import Failed, Outcome, RecipientResult, RecipientStatus
from mail_proxy.features.suppressions.address_set import NO_ADDRESSES, AddressSet
from mail_proxy.kit.clock import Clock
from mail_proxy.sql.directory import Directory

NAME = "suppressions"
SUPPRESSED = "suppressed"


def suppression_step(directory: Directory, clock: Clock) -> Step:
    """Return the delivery step that refuses suppressed recipients.

    A mail of a tenant without suppressions costs a look-up in a dictionary.
    """

    def refuse(outgoing: Outgoing) -> Outcome | None:
        lists = directory.snapshot.features.get(NAME, {})
        suppressed: AddressSet = lists.get(outgoing.account.tenant_id, NO_ADDRESSES)
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
