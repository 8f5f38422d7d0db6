"""Facts that parts of the service publish on the bus after a commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mail_proxy.kit.bus import Fact, Reach


@dataclass(frozen=True, slots=True)
class MessagesDue(Fact):
    """Messages may have become due, of any account."""

    reach: ClassVar[Reach] = Reach.WORKERS | Reach.HOSTS


@dataclass(frozen=True, slots=True)
class MessagesAdded(Fact):
    """New messages are in the queue, of these tenants, for these accounts (pk).

    Other processes look at all accounts: a list would make every fact a new one, and none of
    them could stand for another that has not gone out yet.
    """

    tenant_ids: frozenset[str]
    account_pks: frozenset[str]
    reach: ClassVar[Reach] = Reach.WORKERS | Reach.HOSTS

    def abroad(self) -> Fact:
        """Return ``MessagesDue``, which needs no list of accounts."""
        return MessagesDue()


@dataclass(frozen=True, slots=True)
class MessagesReleased(Fact):
    """Messages of an activated batch or tenant are back in the queue.

    Other hosts are not notified: each of them sweeps, too, and got the activation itself.
    """

    reach: ClassVar[Reach] = Reach.WORKERS


@dataclass(frozen=True, slots=True)
class DirectoryChanged(Fact):
    """Tenants, accounts, suspensions or run-time settings have changed."""

    reach: ClassVar[Reach] = Reach.WORKERS | Reach.HOSTS


@dataclass(frozen=True, slots=True)
class EventsAdded(Fact):
    """Events that have to be reported were written."""

    reach: ClassVar[Reach] = Reach.PARENT


@dataclass(frozen=True, slots=True)
class RunNow(Fact):
    """A caller asked to send and report now, for one tenant or, with None, for all."""

    tenant_id: str | None = None
    reach: ClassVar[Reach] = Reach.WORKERS | Reach.HOSTS


@dataclass(frozen=True, slots=True)
class ClockSetBack(Fact):
    """The wall clock was set back: instants that are kept in memory no longer hold."""

    reach: ClassVar[Reach] = Reach.WORKERS
