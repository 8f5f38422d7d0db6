"""Scripts for an SMTP server in tests: replies and acts, by stage of the session."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

Stage = Literal[
    "connect",
    "EHLO",
    "STARTTLS",
    "AUTH",
    "MAIL",
    "sent ahead",
    "RCPT",
    "DATA",
    "BDAT",
    "body",
    "end of data",
    "RSET",
    "QUIT",
]


class Act(Enum):
    """Act of the server in place of a reply."""

    #: Close the connection, after the reply of the same script entry.
    DROP = "drop"
    #: Send nothing from now on, but go on reading.
    SILENCE = "silence"
    #: Discard the commands that the client has sent ahead (at the stage "sent ahead" only).
    FLUSH = "flush"


#: A reply without its line end (``"250 Ok"``; several lines joined by CRLF), octets that are
#: written unchanged, an act, or a reply and then an act.
Script = str | bytes | Act | tuple[str | bytes, Act]


@dataclass(slots=True)
class Rule:
    script: Script
    times: int | None
    path: str | None = None

    def use(self, path: str | None) -> bool:
        """Return whether the rule applies, and count that use."""
        if self.path not in (None, path) or self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True
