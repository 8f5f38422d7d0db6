"""Facts that parts of the service publish on the bus after a commit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MessagesAdded:
    """New messages are in the queue, of these tenants, for these accounts (pk)."""

    tenant_ids: frozenset[str]
    account_pks: frozenset[str]


@dataclass(frozen=True, slots=True)
class MessagesDue:
    """Messages may have become due, of any account."""


@dataclass(frozen=True, slots=True)
class DirectoryChanged:
    """Tenants, accounts, suspensions or run-time settings have changed."""


@dataclass(frozen=True, slots=True)
class EventsAdded:
    """Events that have to be reported were written."""


@dataclass(frozen=True, slots=True)
class RunNow:
    """A caller asked to send and report now, for one tenant or, with None, for all."""

    tenant_id: str | None = None


@dataclass(frozen=True, slots=True)
class ClockSetBack:
    """The wall clock was set back: instants that are kept in memory no longer hold."""
