"""Enhanced codes (RFC 3463) and SMTP reply codes in texts of servers."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Not a part of an IP address, of a version or of a number; the subject is 0 to 7.
_ENHANCED = re.compile(
    r"(?<![\d.\w])(?<!(?<!\d\d\d)-)#?([245])\.([0-7])\.(\d{1,3})(?![\d.]*\d)(?!\.[a-zA-Z])"
)
#: Words in front of a version number that looks like a code.
_VERSION = re.compile(
    r"(?:version|exim|sendmail|postfix|smtpd?|smtpsvc|esmtp|ver|v|release|server|mail|agent|"
    r"domino|amavisd-new|spamassassin|qmail|build)[\s/:(]{1,3}$",
    re.IGNORECASE,
)
#: A reply code; the number is no part of an address, of a time or of a quantity.
_CODE = (
    r"(4[2-7]\d|5[0-7]\d)(?![\w@/]|[.:]\d|\s?(?:[kmg]i?b|bytes?|octets|seconds?|minutes?|hours?|days?|"
    r"messages|recipients|attempts)\b)"
)
_REPLY = re.compile(rf"(?<![\w.:@/+-])#?{_CODE}(?!-\d)", re.IGNORECASE)
_AT_START = re.compile(
    r"^\W{0,10}(?:(?:smtp|x-[\w-]{1,30}|esmtp)\s{0,3};\s{0,3})?"
    rf"(?:(?:remote host said|said|reason|error|response|returned|status|code)\W{{0,4}})?{_CODE}",
    re.IGNORECASE,
)
#: Words that make a number of three digits a reply code.
_LABELLED = re.compile(
    r"(?:said|returned|response|responded|responded with|reply|replied|error|code|status|smtp|"
    rf"reason|failed|<<<|rejected|answer|was|state|diagnostic)[^\d\n]{{0,25}}{_CODE}",
    re.IGNORECASE,
)
_WITH_ENHANCED = re.compile(
    r"(?<![\w.:@/])(4[2-7]\d|5[0-7]\d)[ -]{1,3}#?(?:[245]\.[0-7]\.\d{1,3})(?![\d.]*\d)"
)
_STATUS = re.compile(r"([245])\s{0,2}\.\s{0,2}(\d{1,3})\s{0,2}\.\s{0,2}(\d{1,3})")


@dataclass(frozen=True, slots=True)
class Codes:
    """Codes found in one text; either may be missing."""

    enhanced: str | None = None
    reply: str | None = None

    @property
    def is_generic(self) -> bool:
        """True if the enhanced code says no more than success, soft or hard: ``5.0.0``."""
        return self.enhanced is None or self.enhanced[1:] == ".0.0"

    @property
    def permanence(self) -> str | None:
        """First digit of the code that is shown: ``2``, ``4``, ``5`` or None."""
        code = self.shown()
        return code[0] if code else None

    def better(self, other: Codes) -> Codes:
        """Return these codes, completed or made exact by the other ones."""
        if self.is_generic and not other.is_generic:
            return Codes(other.enhanced, other.reply or self.reply)
        return Codes(self.enhanced or other.enhanced, self.reply or other.reply)

    def shown(self) -> str | None:
        """Return the code for a user: the enhanced one, unless only the other is exact."""
        return self.reply if self.is_generic and self.reply else self.enhanced


def status_field(value: str) -> str | None:
    """Return the code of a ``Status`` field, such as ``5.1.1 (bad mailbox)``."""
    found = _STATUS.search(value[:200])
    if not found:
        return None
    return f"{found[1]}.{int(found[2])}.{int(found[3])}"


def codes_in(text: str, *, is_reply: bool = False) -> Codes:
    """Return the codes of a text; ``is_reply``: it is an answer of a server, no prose."""
    return Codes(_enhanced(text), _reply(text, is_reply))


def _enhanced(text: str) -> str | None:
    generic = None
    for found in _ENHANCED.finditer(text):
        before = text[max(0, found.start() - 14) : found.start()]
        if found[0][0] != "#" and _VERSION.search(before):
            continue
        code = f"{found[1]}.{found[2]}.{int(found[3])}"
        if code[1:] != ".0.0" and code[0] != "2":
            return code
        generic = generic or code
    return generic


def _reply(text: str, is_reply: bool) -> str | None:
    for pattern in (_WITH_ENHANCED, _AT_START, _LABELLED):
        found = pattern.search(text)
        if found:
            return found[1]
    if not is_reply:
        return None
    found = _REPLY.search(text)
    return found[1] if found else None
