"""Capabilities that a server offers after EHLO, and whether they suffice."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from mail_proxy.domain.outcome import Failed
from mail_proxy.smtp.compose import ComposedMail

#: Extensions over which sessions may break, with the names of EHLO.
Extension = Literal["pipelining", "chunking"]

_ATOM = r"[^\x00-\x20\x7f<>\"\ud800-\udfff]+"
_QUOTED = r"\"[^\x00-\x1f\x7f\ud800-\udfff]+\""
#: A path that cannot end early and smuggle parameters or commands (RFC 5321 section 4.1.2).
_PATH = re.compile(rf"(?:{_ATOM}|{_QUOTED}@{_ATOM})?")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """SMTP extensions of one server.

    ``pipelining`` is RFC 2920, ``chunking`` RFC 3030. ``size`` is the largest message in octets, or
    None without a limit. ``declares_size``: MAIL may carry the size of the message (RFC 1870).
    """

    pipelining: bool = False
    chunking: bool = False
    size: int | None = None
    declares_size: bool = False
    eight_bit: bool = False
    smtputf8: bool = False

    @classmethod
    def of(cls, extensions: Mapping[str, str]) -> Self:
        """Read the capabilities from EHLO keywords (lower case) and their parameters."""
        size = extensions.get("size", "")
        return cls(
            pipelining="pipelining" in extensions,
            chunking="chunking" in extensions,
            declares_size="size" in extensions,
            size=int(size) or None if re.fullmatch(r"[0-9]{1,20}", size) else None,
            eight_bit="8bitmime" in extensions,
            smtputf8="smtputf8" in extensions,
        )

    def refusal(
        self, mail_from: str, recipients: Sequence[str], message: ComposedMail
    ) -> Failed | None:
        """Return why the server can never accept this message, or None. Sends nothing."""
        if self.size is not None and len(message.data) > self.size:
            return Failed(
                f"message has {len(message.data)} octets, the server takes at most {self.size}"
            )
        if not self.smtputf8 and needs_smtputf8(mail_from, recipients, message):
            return Failed("an address needs SMTPUTF8 (RFC 6531), which the server does not offer")
        if message.is_8bit and not self.eight_bit:
            return Failed("the message needs 8BITMIME (RFC 6152), which the server does not offer")
        for path in (mail_from, *recipients):
            if _PATH.fullmatch(path) is None:
                return Failed(f"not an address that SMTP can carry: {path[:100]!r}")
        return None


def needs_smtputf8(mail_from: str, recipients: Sequence[str], message: ComposedMail) -> bool:
    """Return whether an address or a header needs SMTPUTF8 (RFC 6531)."""
    return message.needs_smtputf8 or not all(map(str.isascii, (mail_from, *recipients)))
