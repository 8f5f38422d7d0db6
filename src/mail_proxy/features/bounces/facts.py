"""Facts about the bounce mailbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mail_proxy.kit.bus import Fact, Reach


@dataclass(frozen=True, slots=True)
class BounceMailboxReload(Fact):
    """An operator wants the mailbox to be opened again, by whichever host watches it."""

    reach: ClassVar[Reach] = Reach.HOSTS
