"""What a scripted SMTP server can be told to do, and when."""

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
    """What the server does where a reply is due."""

    #: Ends the connection; a reply in the same script entry goes out before that.
    DROP = "drop"
    #: Says nothing from now on, and reads on.
    SILENCE = "silence"
    #: Forgets what the client has sent ahead (at the stage of that name alone).
    FLUSH = "flush"


#: A reply without its line end (``"250 Ok"``; lines of one reply joined by CRLF), octets to write
#: as they are, an act, or a reply and then an act.
Script = str | bytes | Act | tuple[str | bytes, Act]


@dataclass(slots=True)
class Rule:
    script: Script
    times: int | None
    path: str | None = None

    def use(self, path: str | None) -> bool:
        """Whether the rule applies; if so, it is used up by one."""
        if self.path not in (None, path) or self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True
