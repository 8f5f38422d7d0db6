"""Permission to send a claimed message, as this process knows it now."""

from __future__ import annotations

from mail_proxy.delivery.lease import Lease
from mail_proxy.domain.tenant import Tenant
from mail_proxy.kit.clock import Clock
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.messages.queue import ClaimedMessage


class SendPermit:
    """Decides whether a claimed message may still be sent.

    Opening a session may take minutes. Meanwhile the lease may end, the message may expire, and
    its tenant or batch may be suspended, or its account removed.
    """

    def __init__(self, lease: Lease, directory: Directory, clock: Clock) -> None:
        self._lease = lease
        self._directory = directory
        self._clock = clock

    def tenant(self, message: ClaimedMessage) -> Tenant | None:
        """Return the message's tenant, or None if the tenant was removed."""
        return self._directory.snapshot.tenants.get(message.tenant_id)

    def may_begin(self, message: ClaimedMessage) -> bool:
        """Return whether the server may be asked to take ``message`` now."""
        if not self.is_ours(message) or message.has_expired(self._clock.now()):
            return False
        tenant = self.tenant(message)
        return tenant is not None and tenant.sends(message.batch_code) and self.has_account(message)

    def has_account(self, message: ClaimedMessage) -> bool:
        """Return whether the message's account still exists."""
        return message.account_pk in self._directory.snapshot.accounts

    def is_ours(self, message: ClaimedMessage) -> bool:
        """Return whether this dispatcher's lease holds and the claim was made under it."""
        return self._lease.valid and message.claimed_by == self._lease.dispatcher_id
