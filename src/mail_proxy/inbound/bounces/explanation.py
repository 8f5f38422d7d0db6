"""Failed recipients in the text that a server wrote for its users.

No format is required: an address counts by its place on its line, by the words near to it, and by
being a recipient of the returned message. Knowledge about servers is in the tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from mail_proxy.inbound.addresses import unique
from mail_proxy.inbound.bounces.category import names_a_cause
from mail_proxy.inbound.bounces.codes import Codes, codes_in
from mail_proxy.inbound.bounces.mentions import ANY, CERTAIN, PROBABLE, STRONG, Mention, Weigher
from mail_proxy.inbound.bounces.returned import Returned

_MOST_LINES = 1_000
_MOST_LINE = 1_500
_MOST_ADDRESSES = 500
_MOST_MENTIONS = 6
_MOST_REASON_LINES = 8
_MOST_ANNOUNCED = 60
_LINES_AFTER = 14
_LINES_BEFORE = 4
_BEST_SCORE = 5
#: Characters of a line that are searched for a code and a cause.
_MOST_SCORED = 500

_LOCAL_PART = re.compile(
    r"[ \t]{1,8}<?([A-Za-z0-9][A-Za-z0-9._+-]{1,63})>?(?: \([\w ]{3,80}\))?\s{0,5}$"
)
_NOISE = re.compile(r"^\s*(?:[-=_*#]{3,}.*|>>> .*|\.{3,}.*)?$")


@dataclass(slots=True)
class FailedRecipient:
    """One failed address: reason, codes, and all lines about it.

    ``is_certain``: the place of the address says that it failed.
    """

    address: str
    reason: str = ""
    about: str = ""
    codes: Codes = field(default_factory=Codes)
    is_certain: bool = False


class Explanation:
    """The explanation of a bounce: the text in front of the returned message.

    ``own`` are the addresses to which the bounce was sent.
    """

    def __init__(self, text: str, returned: Returned, own: Iterable[str]) -> None:
        self._lines = [line[:_MOST_LINE] for line in text.split("\n", _MOST_LINES)[:_MOST_LINES]]
        self._weigher = Weigher(returned, own)
        self._mentions = [
            mention
            for number, line in enumerate(self._lines)
            for mention in self._weigher.mentions(number, line)
        ]
        self._places: dict[str, list[int]] = {}
        for mention in self._mentions:
            self._places.setdefault(mention.address.casefold(), []).append(mention.line)
        self._recipient_lines = {m.line for m in self._mentions if m.weight >= STRONG}
        self._aliases = self._found_aliases()
        self._certain = {m.address.casefold() for m in self._mentions if m.weight == CERTAIN}
        self._scores: dict[int, int] = {}

    def failed(self, domain: str = "") -> list[FailedRecipient]:
        """Return the recipients that the text says to have failed, in order.

        Old servers name local parts alone: they belong to ``domain``.
        """
        chosen = self._chosen()
        if domain and not any(mention.weight >= PROBABLE for mention in chosen):
            names = list(self._local_parts())
            if names:
                return [self._about(f"{name}@{domain}", [number]) for number, name in names]
        addresses = unique(self.written_to(mention.address) for mention in chosen)
        return [self.about(address) for address in addresses[:_MOST_ADDRESSES]]

    def about(self, address: str) -> FailedRecipient:
        """Return what the text says about an address; empty if it is not mentioned."""
        found = self._about(address, self._places.get(address.casefold(), []))
        found.is_certain = address.casefold() in self._certain
        return found

    def written_to(self, address: str) -> str:
        """Return the address that the sender used, if a server forwarded to this one."""
        alias = self._aliases.get(address.casefold())
        return alias if alias and not self._weigher.is_known(address) else address

    def _found_aliases(self) -> dict[str, str]:
        """Return recipients of the returned message by the addresses made from them."""
        found: dict[str, str] = {}
        for first, second in pairwise(self._mentions):
            is_near = second.line - first.line in (0, 1)
            if is_near and second.is_alias and self._weigher.is_known(second.address):
                found[first.address.casefold()] = second.address
        return found

    def rest(self) -> tuple[str, Codes]:
        """Return the best line of the whole text and its codes, for a single recipient."""
        line, reason = self._best([range(len(self._lines))])
        return reason, codes_in(line).better(codes_in(reason))

    def _about(self, address: str, places: list[int]) -> FailedRecipient:
        if not places:
            return FailedRecipient(address)
        others = self._recipient_lines.difference(places)
        chunks = [self._after(place, others) for place in places[:_MOST_MENTIONS]]
        line, reason = self._best(chunks)
        if not reason:
            before = range(max(0, places[0] - _LINES_BEFORE), places[0])
            chunks.append([number for number in before if number not in others])
            line, reason = self._best(chunks[-1:])
        if not reason:
            line = reason = self._joined(self._after(places[0], others))
        about = "\n".join(self._lines[number] for chunk in chunks for number in chunk)
        codes = codes_in(line, is_reply=True).better(codes_in(reason, is_reply=True))
        return FailedRecipient(address, reason, about, codes)

    def _chosen(self) -> list[Mention]:
        usable = [mention for mention in self._mentions if mention.weight >= ANY]
        strong = [mention for mention in usable if mention.weight >= STRONG]
        known = [mention for mention in usable if self._weigher.is_known(mention.address)]
        if strong and known and not any(self._weigher.is_known(m.address) for m in strong):
            # Strong ones may be other addresses, such as that of a forwarding.
            return strong if any(m.weight >= CERTAIN for m in strong) else known
        probable = [mention for mention in usable if mention.weight >= PROBABLE]
        return strong or known or probable or usable[:1]

    def _local_parts(self) -> Iterator[tuple[int, str]]:
        """Yield the indented names below a line that announces recipients."""
        is_announced = False
        for number, line in enumerate(self._lines[:_MOST_ANNOUNCED]):
            found = _LOCAL_PART.match(line)
            if is_announced and found:
                yield number, found[1]
            elif line.strip():
                is_announced = "following" in line.lower() or (is_announced and line.endswith(":"))

    def _after(self, place: int, others: set[int]) -> list[int]:
        chunk = [place]
        for number in range(place + 1, min(len(self._lines), place + 1 + _LINES_AFTER)):
            if number in others:
                break
            chunk.append(number)
        return chunk

    def _best(self, chunks: Iterable[Sequence[int]]) -> tuple[str, str]:
        """Return the line that says most, and that line with those that continue it."""
        best, best_score = ("", ""), 0
        for chunk in chunks:
            for place, number in enumerate(chunk):
                score = self._score(number)
                if score > best_score:
                    best_score = score
                    best = (self._lines[number].strip(), self._joined(chunk[place:]))
                if best_score == _BEST_SCORE:
                    return best
        return best

    def _score(self, number: int) -> int:
        """Return a score of a line: high for an exact code, low for mere words."""
        found = self._scores.get(number)
        if found is None:
            found = self._scores[number] = _score(self._lines[number])
        return found

    def _joined(self, chunk: Sequence[int]) -> str:
        lines: list[str] = []
        for number in chunk[:_MOST_REASON_LINES]:
            line = self._lines[number]
            if lines and (not line.strip() or _NOISE.match(line)):
                break
            lines.append(line.strip())
        return " ".join(lines)


def _score(line: str) -> int:
    line = line[:_MOST_SCORED]
    if not line.strip():
        return 0
    codes = codes_in(line, is_reply=line.lstrip(" \t#<(").startswith(("4", "5")))
    if codes.enhanced and not codes.is_generic:
        return _BEST_SCORE if codes.reply or names_a_cause(line) else 4
    if codes.reply or codes.enhanced:
        return 4 if names_a_cause(line) else 3
    return 2 if names_a_cause(line) else 0
