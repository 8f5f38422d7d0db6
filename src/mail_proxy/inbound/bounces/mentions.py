"""Addresses in the text of a bounce, weighed as failed recipients."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from mail_proxy.inbound.addresses import ADDRESS, clean
from mail_proxy.inbound.bounces.category import folded, names_a_cause
from mail_proxy.inbound.bounces.codes import codes_in
from mail_proxy.inbound.bounces.returned import Returned
from mail_proxy.inbound.bounces.signs import has, is_wholly, words

#: Weights: no recipient, any address, probably one, one by its place, one without doubt.
NOT_FAILED, ANY, PROBABLE, STRONG, CERTAIN = range(5)
_MOST_IN_LINE = 50
_MOST_BEFORE = 80
#: Characters next to an address that are searched for words of a failure.
_MOST_SEARCHED = 300

_TO_LABEL = re.compile(
    r"^\W{0,8}(?:to|cc|an|a|à|para|naar|till|til|do|кому|宛先)\s{0,3}:\s{0,10}", re.IGNORECASE
)
_PUNCTUATION = r"\s<>\"'*•·:;,.()\[\]|=#「」“”\u2013\uff08\uff09-"
_DECORATION = re.compile(rf"[{_PUNCTUATION}]+|mailto|smtp|rfc822|dda", re.IGNORECASE)
_START = re.compile(r"^[\s<\"'*•·(\[|>,;#“「\u2013-]{0,40}(?:smtp:|rfc822;\s?)?$", re.IGNORECASE)
#: "ann@example.com on Thu, 29 Apr 2010 16:51:51 -0500" of Exchange 5.5
_ON_DAY = re.compile(r"[>\"']? (?:on|am|le|el|il) \w{2,4}[.,]", re.IGNORECASE)
_DIALOGUE = re.compile(r"rcpt[ -]?to", re.IGNORECASE)
#: "your mail from shop@example.com to ann@example.net"
_FROM_TO = re.compile(
    r"\b(?:from|von|de|da):?[ ]<?[^\s@]{1,64}@\S{1,255}[ ](?:to|an|a|à):? <?$", re.IGNORECASE
)
_ALIAS = re.compile(r"(?:expanded|generated) from:?\s{0,3}", re.IGNORECASE)


@dataclass(slots=True)
class Mention:
    """One address on one line, and its weight.

    ``is_alias``: the address before was made from this one.
    """

    address: str
    line: int
    weight: int
    is_alias: bool = False


class Weigher:
    """Gives a weight to each address of a line, by its place and the words near to it.

    ``own`` are the addresses to which the bounce was sent.
    """

    def __init__(self, returned: Returned, own: Iterable[str]) -> None:
        self._sent_to = {address.casefold() for address in returned.recipients}
        self._not_failed = {a.casefold() for a in [*own, *returned.senders]} - self._sent_to

    def is_known(self, address: str) -> bool:
        """Return whether the returned message was sent to this address."""
        return address.casefold() in self._sent_to

    def mentions(self, number: int, line: str) -> Iterator[Mention]:
        if "@" not in line:
            return
        for count, found in enumerate(ADDRESS.finditer(line)):
            if count >= _MOST_IN_LINE:
                return
            name, _, address = found[0].rpartition("=")
            if name.lower() == "smtp":
                # "c=US;a= ;p=X;dda:SMTP=ann@example.com;" of Exchange 5.5
                yield Mention(clean(address), number, CERTAIN)
                continue
            address = clean(found[0])
            if address:
                weight = self._weight(line, found.start(), found.end(), address)
                is_alias = _ALIAS.search(line, 0, found.start()) is not None
                yield Mention(address, number, weight, is_alias)

    def _weight(self, line: str, start: int, end: int, address: str) -> int:
        if address.casefold() in self._not_failed or _is_url_part(line, start):
            return NOT_FAILED
        before, is_known = line[:start], self.is_known(address)
        if _no_recipient().match(folded(line[:_MOST_BEFORE])) and not (
            is_known and _is_labelled(before)
        ):
            return NOT_FAILED
        if _ALIAS.search(before[-30:]):
            return STRONG if is_known else ANY
        if _DIALOGUE.search(before[-20:]):
            return CERTAIN
        if not is_known and is_wholly("daemon address", address.partition("@")[0]):
            return NOT_FAILED
        if len(before) < 25 and _TO_LABEL.match(before):
            return PROBABLE if is_known else ANY
        return _weight_of_place(line, before, line[end:], is_known)


def says_failure(text: str) -> bool:
    """Return whether a text has a code, or words of a failure."""
    text = text[:_MOST_SEARCHED]
    codes = codes_in(text)
    return bool(codes.reply or codes.enhanced) or names_a_cause(text) or has("bounce text", text)


def _weight_of_place(line: str, before: str, after: str, is_known: bool) -> int:
    if _START.match(ADDRESS.sub("", before)):
        if _ON_DAY.match(after) or not _DECORATION.sub("", ADDRESS.sub("", line)):
            return CERTAIN
        return STRONG if is_known or says_failure(after) else PROBABLE
    if _FROM_TO.search(before[-_MOST_SEARCHED:]):
        return STRONG
    if not is_known and has("contact", before[-300:]):
        return NOT_FAILED
    if _is_labelled(before):
        return STRONG
    return (PROBABLE if is_known else ANY) + says_failure(line)


@cache
def _no_recipient() -> re.Pattern[str]:
    return re.compile(rf"[\s>*|]{{0,12}}{words('no recipient')}\b\s?[:<= ]")


@cache
def _label() -> re.Pattern[str]:
    between = r"(?: is| are| was)?\s{0,3}[:=\[({<\"'「]{0,3}(?:smtp:|rfc822;|\s)?\s{0,8}"
    return re.compile(rf"{words('label')}{between}[<\"'(\[「]{{0,2}}$")


def _is_labelled(before: str) -> bool:
    return _label().search(folded(before[-_MOST_BEFORE:])) is not None


def _is_url_part(line: str, start: int) -> bool:
    word = line[max(0, start - 200) : start].rpartition(" ")[2]
    return "://" in word
