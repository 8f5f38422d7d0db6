"""The parts of the service that operations use after their commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mail_proxy.config import ProxyConfig
from mail_proxy.kit.bus import Bus
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.free_disk import FreeDisk
from mail_proxy.network.access_tokens import TokenSource
from mail_proxy.operations.cached_counts import PendingCounts
from mail_proxy.operations.unsubscribe_links import UnsubscribeLinks
from mail_proxy.operations.waiting_counts import WaitingCounts
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.tables import Tables


class Alive(Protocol):
    """A service that can be asked whether it works."""

    @property
    def alive(self) -> bool:
        """False if its loops have ended, or cannot work now."""


@dataclass(frozen=True)
class Parts:
    """Parts of the service that an operation may use outside its transaction.

    ``dispatcher`` is None if it is switched off. ``started_at`` is monotonic.
    """

    db: SqlDb
    tables: Tables
    directory: Directory
    config: ProxyConfig
    clock: Clock
    bus: Bus
    sender: SmtpSender
    tokens: TokenSource
    dispatcher: Alive | None
    pending: PendingCounts
    waiting: WaitingCounts
    unsubscribe_links: UnsubscribeLinks
    disk: FreeDisk
    started_at: float
