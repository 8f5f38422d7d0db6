"""Calls about the bounce mailbox."""

from __future__ import annotations

from typing import Unpack

from mail_proxy.client.calls import Given, Group, Mode, call
from mail_proxy.client.fields import BounceMailboxFields
from mail_proxy.client.reading import field_of, model
from mail_proxy.wire.bounces import BounceMailboxAnswer, BounceMailboxTested
from mail_proxy.wire.tenants import Done


class Bounces(Group[Mode]):
    """Calls about the bounce mailbox; they need the admin token."""

    @call(
        "GET",
        "/instance/bounce",
        field_of(BounceMailboxAnswer, lambda answer: answer.bounce),
        names_tenant=False,
    )
    def get(self) -> Given:
        """Return the bounce mailbox, and whether it can be read."""
        return Given()

    @call(
        "PUT",
        "/instance/bounce",
        field_of(BounceMailboxAnswer, lambda answer: answer.bounce),
        names_tenant=False,
    )
    def update(self, **fields: Unpack[BounceMailboxFields]) -> Given:
        """Change the given fields of the bounce mailbox."""
        return Given(body=dict(fields))

    @call("POST", "/instance/bounce/reload", model(Done), names_tenant=False)
    def reload(self) -> Given:
        """Connect to the bounce mailbox again, and read it now."""
        return Given()

    @call("POST", "/instance/bounce/test", model(BounceMailboxTested), names_tenant=False)
    def test(self) -> Given:
        """Test the saved bounce mailbox: connect, TLS, log in, open the folder."""
        return Given()
