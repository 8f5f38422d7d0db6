"""The delivery step that directs bounces to the bounce mailbox (VERP).

A server may send a bounce that holds nothing of the message. The address that it is sent to then
still names the message: ``bounces+<pk>@example.org``.
"""

from __future__ import annotations

import re
from uuid import UUID

from mail_proxy.delivery.pipeline import Outgoing, Step
from mail_proxy.domain.outcome import Outcome
from mail_proxy.features.bounces.table import NAME, BounceConfig
from mail_proxy.features.feature import StepParts

_TOKEN = re.compile(r"\+([0-9a-f]{32})@")
#: RFC 5321 section 4.5.3.1.1.
_LONGEST_LOCAL_PART = 64


def return_path_step(parts: StepParts) -> Step:
    """Return the delivery step that sets the envelope sender of mails that name none.

    Without a bounce mailbox it costs a look-up in a dictionary.
    """

    def set_sender(outgoing: Outgoing) -> Outcome | None:
        config: BounceConfig | None = parts.directory.snapshot.features.get(NAME)
        if config is None or config.return_path is None:
            return None
        # The envelope sender of certified mail (PEC) is its From.
        if not (outgoing.names_sender or outgoing.account.is_pec):
            outgoing.return_path = with_token(config.return_path, outgoing.message.pk)
        return None

    return set_sender


def with_token(address: str, message_pk: str) -> str:
    """Return an address with the pk of a message, unless it gets too long."""
    local, _, domain = address.rpartition("@")
    local_part = f"{local}+{UUID(message_pk).hex}"
    return address if len(local_part) > _LONGEST_LOCAL_PART else f"{local_part}@{domain}"


def pk_in(address: str) -> str | None:
    """Return the pk of the message that an address names, or None."""
    found = _TOKEN.search(address)
    return None if found is None else str(UUID(found[1]))
