"""Facts that the parts of one delivering process publish to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mail_proxy.kit.bus import Fact
from mail_proxy.sql.messages.queue import StateChange


@dataclass(frozen=True, slots=True)
class OutcomesRecorded(Fact):
    """State changes of messages, with their events, were committed."""

    changes: Sequence[StateChange]


@dataclass(frozen=True, slots=True)
class AccountUsable(Fact):
    """A paused account may send again: its server answered, or it was saved."""

    account_pk: str
