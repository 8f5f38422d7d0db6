"""Capabilities that a server offers after EHLO, and whether they suffice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from mail_proxy.domain.outcome import Failed
from mail_proxy.smtp.compose import ComposedMail

#: Extensions over which sessions may break. ``burst``: a message and the next envelope in one
#: packet.
Extension = Literal["pipelining", "chunking", "burst"]

_ATOM = r"[^\x00-\x20\x7f<>\"\ud800-\udfff]+"
_QUOTED = r"\"[^\x00-\x1f\x7f\ud800-\udfff]+\""
#: A path that cannot end early and smuggle parameters or commands (RFC 5321 section 4.1.2).
_PATH = re.compile(rf"(?:{_ATOM}|{_QUOTED}@{_ATOM})?")
_NUMBER = re.compile(r"[0-9]{1,20}")
_OLD_AUTH = re.compile(r"^AUTH=", re.IGNORECASE)
_LIMIT = re.compile(r"(?:^| )([A-Z0-9-]+)=([0-9]{1,9})(?= |$)")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """SMTP extensions that one server offers.

    ``pipelining`` is RFC 2920, ``chunking`` RFC 3030.

    ``size``: most octets of a message, None without a limit; ``declares_size``: MAIL may say how
    large the message is (RFC 1870). ``burst``: the server has not failed yet when the next
    envelope followed a message in one packet. ``most_recipients`` of a transaction and
    ``most_transactions`` of a session are RCPTMAX and MAILMAX of RFC 9422, None without a limit.
    ``auth`` are the mechanisms offered, in upper case. ``starttls`` is RFC 3207.
    """

    pipelining: bool = False
    chunking: bool = False
    size: int | None = None
    declares_size: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    burst: bool = True
    most_recipients: int | None = None
    most_transactions: int | None = None
    auth: tuple[str, ...] = ()
    starttls: bool = False

    @classmethod
    def of(cls, lines: Sequence[str]) -> Self:
        """Read the lines of a reply to EHLO, without their codes. The first is a greeting."""
        extensions: dict[str, str] = {}
        auth: list[str] = []
        for line in lines[1:]:
            # "AUTH=LOGIN" is how some old servers wrote what is now "AUTH LOGIN".
            keyword, _, parameters = _OLD_AUTH.sub("AUTH ", line.strip()).partition(" ")
            if keyword.lower() == "auth":
                auth += parameters.upper().split()
            extensions[keyword.lower()] = parameters.strip()
        size = extensions.get("size", "")
        limits = dict(_LIMIT.findall(extensions.get("limits", "").upper()))
        return cls(
            pipelining="pipelining" in extensions,
            chunking="chunking" in extensions,
            declares_size="size" in extensions,
            size=int(size) or None if _NUMBER.fullmatch(size) else None,
            eight_bit="8bitmime" in extensions,
            smtputf8="smtputf8" in extensions,
            most_recipients=int(limits.get("RCPTMAX", 0)) or None,
            most_transactions=int(limits.get("MAILMAX", 0)) or None,
            auth=tuple(dict.fromkeys(auth)),
            starttls="starttls" in extensions,
        )

    def refusal(
        self, mail_from: str, recipients: Sequence[str], message: ComposedMail
    ) -> Failed | None:
        """Return why the server can never accept this message, or None. Sends nothing."""
        if self.size is not None and message.size > self.size:
            return Failed(
                f"message has {message.size} octets, the server takes at most {self.size}"
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
