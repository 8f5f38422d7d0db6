"""Failed recipients in the text that a server wrote for its users.

No format is required: an address counts by its place on its line, by the words near to it, and by
being a recipient of the returned message. Knowledge about servers is in the tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from mail_proxy.inbound.addresses import ADDRESS, clean, unique
from mail_proxy.inbound.bounces.category import names_a_cause
from mail_proxy.inbound.bounces.codes import Codes, codes_in
from mail_proxy.inbound.bounces.returned import Returned
from mail_proxy.inbound.bounces.signs import has, is_wholly

_MOST_LINES = 1_000
_MOST_LINE = 1_500
_MOST_ADDRESSES = 1_000
_LINES_AFTER = 14
_LINES_BEFORE = 4
_MOST_REASON_LINES = 8
_MOST_MENTIONS = 6
_WHOLE = 4_000

#: Begin of a line whose address is no failed recipient.
_NOT_FAILED = re.compile(
    r"[\s>*|]{0,12}(?:from|sender|mail from|>>> ?mail from|return-path|reply-to|message-?\s?id|subject|"
    r"original sender|envelope[- ]from|errors-to|in-reply-to|references|postmaster|from address|"
    r"von|absender|de|da|mittente|remitente|remetente|exp(?:é|e)diteur|отправитель|送信者|差出人|发件人|"
    r"received|x-[\w-]{1,40}|mime-version|date|sent|list-[\w-]{1,20}|dear|hello|hi)\b\s?[:<= ]",
    re.IGNORECASE,
)
_CONTACT = re.compile(
    r"contact|please (?:send|forward|e-?mail|write|report|reply|see)|assistance|for help|further (?:help|information)|"
    r"questions|support@|postmaster@|mailto:|abuse@|helpdesk|kontakt|wenden|contactez|contatt|https?://\S{0,200}@|"
    r"generated (?:by|from)|from your address|on behalf|sent by|you sent from|from:? <?\S{1,80}@",
    re.IGNORECASE,
)
#: Words in front of an address that say that it failed, by the servers that use them.
_LABEL = re.compile(
    r"(?:rcpt[ -]?to|recipient(?:\(s\)|s)?(?: address| e-?mail)?|failed (?:recipient|address)|address(?:es)?|original address|"
    r"(?:unknown|no such) (?:user|recipient|address)|user|mailbox|e-?mail|destination|undeliver(?:able|ed)(?: to| mail)?|"
    r"deliver(?:y|ing|ed|able)?(?: (?:mail|message|it|your message|your mail|failed|attempts?))* (?:to|for)|mail to|message to|sent to|reach|failed for|\d+ attempts|"
    r"empf(?:ä|ae)nger(?:adresse)?|adresse|destinataires?|destinatari[oa]?s?|indirizzo|direcci(?:ó|o)n|endere(?:ç|c)o|"
    r"ontvanger|geadresseerde|получател[ья]|адрес[а-я]{0,3}|宛先|あて先|受信者|送信先|收件人|地址|max number of .{0,20}to)"
    r"(?: is| are| was)?\s{0,3}[:=\[({<\"'「]{0,3}(?:smtp:|rfc822;|\s)?\s{0,8}[<\"'(\[「]{0,2}$",
    re.IGNORECASE,
)
_TO_LABEL = re.compile(
    r"^\W{0,8}(?:to|cc|an|a|à|para|naar|till|til|do|кому|宛先)\s{0,3}[:]\s{0,10}", re.IGNORECASE
)
_DECORATION = re.compile(
    r"[\s<>\"'*•·\-–:;,.()\[\]|=#「」（）“”]+|mailto|smtp|rfc822|dda", re.IGNORECASE
)
_START = re.compile(r"^[\s<\"'*•·\-–(\[|>#“「]{0,14}(?:smtp:|rfc822;\s?)?$", re.IGNORECASE)
#: "ann@example.com on Thu, 29 Apr 2010 16:51:51 -0500" of Exchange 5.5
_ON_DAY = re.compile(r"[>\"']? (?:on|am|le|el|il) \w{2,4}[.,]", re.IGNORECASE)
_DIALOGUE = re.compile(r"rcpt[ -]?to", re.IGNORECASE)
_ALIAS = re.compile(r"(?:expanded|generated) from:?\s{0,3}", re.IGNORECASE)
#: "c=US;a= ;p=X;dda:SMTP=ann@example.com;" of Exchange 5.5
_X400 = re.compile(r"(?:dda:)?smtp(?:=|:)$", re.IGNORECASE)
_NOISE = re.compile(r"^\s*(?:[-=_*#]{3,}.*|>>> .*|\.{3,}.*)?$")


@dataclass(slots=True)
class FailedRecipient:
    """One address and the lines about it: the best of them, and all of them."""

    address: str
    reason: str = ""
    about: str = ""
    codes: Codes = field(default_factory=Codes)


@dataclass(slots=True)
class _Mention:
    address: str
    line: int
    weight: int


class Explanation:
    """The text in front of the copy of the message, with what is known about its addresses."""

    def __init__(self, text: str, returned: Returned, own: Iterable[str]) -> None:
        self.lines = [line[:_MOST_LINE] for line in text.split("\n", _MOST_LINES)[:_MOST_LINES]]
        self.whole = "\n".join(self.lines)[:_WHOLE]
        self._sent_to = {address.casefold() for address in returned.recipients}
        self._returned = returned
        self._not_failed = {a.casefold() for a in [*own, *returned.senders]} - self._sent_to
        self._mentions = [m for n, line in enumerate(self.lines) for m in self._weighed(n, line)]

    def failed(self) -> list[FailedRecipient]:
        """Return the recipients that the text says to have failed, in order."""
        chosen = self._chosen()
        return [self.about(address) for address in unique(m.address for m in chosen)][
            :_MOST_ADDRESSES
        ]

    def about(self, address: str) -> FailedRecipient:
        """Return what the text says about an address; empty if it is not mentioned."""
        key = address.casefold()
        places = [m.line for m in self._mentions if m.address.casefold() == key]
        others = {m.line for m in self._mentions if m.weight >= 3 and m.address.casefold() != key}
        chunks = [self._after(place, others - set(places)) for place in places[:_MOST_MENTIONS]]
        line, reason = _best(chunks)
        if not reason and places:
            before = self._before(places[0], others)
            line, reason = _best([before])
            chunks.append(before)
        if not reason and places:
            line = reason = self.lines[places[0]].strip()
        about = "\n".join(text for chunk in chunks for text in chunk)
        codes = codes_in(line, is_reply=True).better(codes_in(reason, is_reply=True))
        return FailedRecipient(address, reason, about, codes)

    def rest(self) -> tuple[str, Codes]:
        """Return the best line of the whole text and its codes, for a single recipient."""
        line, reason = _best([self.lines])
        return reason, codes_in(line).better(codes_in(reason))

    def _chosen(self) -> list[_Mention]:
        usable = [m for m in self._mentions if m.weight > 0]
        strong = [m for m in usable if m.weight >= 3]
        known = [m for m in usable if m.address.casefold() in self._sent_to]
        if strong and known and not any(m.address.casefold() in self._sent_to for m in strong):
            # Strong ones may be other addresses, such as that of a forwarding.
            return strong if any(m.weight >= 4 for m in strong) else known
        return strong or known or [m for m in usable if m.weight >= 2] or usable[:1]

    def _weighed(self, number: int, line: str) -> list[_Mention]:
        if "@" not in line:
            return []
        mentions = []
        for found in ADDRESS.finditer(line):
            address = clean(found[0])
            if address and len(mentions) < 50:
                weight = self._weight(line, found.start(), found.end(), address)
                mentions.append(_Mention(address, number, weight))
        return mentions

    def _weight(self, line: str, start: int, end: int, address: str) -> int:
        key = address.casefold()
        if key in self._not_failed or _is_url_part(line, start):
            return 0
        before, after = line[:start], line[end:]
        is_known = key in self._sent_to
        if _NOT_FAILED.match(line) and not (is_known and _LABEL.search(before)):
            return 0
        if _ALIAS.search(before[-30:]):
            return 3 if is_known else 0
        if _DIALOGUE.search(before[-20:]):
            return 4
        if is_wholly("daemon address", key.partition("@")[0]) and not is_known:
            return 0
        if _TO_LABEL.match(before) and len(before) < 25:
            return 2 if is_known else 1
        return self._weight_of_place(line, before, after, is_known)

    def _weight_of_place(self, line: str, before: str, after: str, is_known: bool) -> int:
        if _START.match(before):
            if _ON_DAY.match(after):
                return 4
            if not _DECORATION.sub("", ADDRESS.sub("", line)):
                return 4
            return 3 if _says_failure(after) or is_known else 2
        if _CONTACT.search(before) and not is_known:
            return 0
        if _LABEL.search(before[-60:]) or _X400.search(before[-12:]):
            return 3
        if is_known:
            return 3 if _says_failure(line) else 2
        return 2 if _says_failure(line) else 1

    def _after(self, place: int, others: set[int]) -> list[str]:
        chunk = [self.lines[place]]
        for number in range(place + 1, min(len(self.lines), place + 1 + _LINES_AFTER)):
            if number in others:
                break
            chunk.append(self.lines[number])
        return chunk

    def _before(self, place: int, others: set[int]) -> list[str]:
        first = max(0, place - _LINES_BEFORE)
        return [self.lines[n] for n in range(first, place) if n not in others]


def _best(chunks: list[list[str]]) -> tuple[str, str]:
    """Return the line that says most, and that line with those that continue it.

    An answer with an exact code says more than one with a code, and that more than a known cause.
    """
    best, best_score = ("", ""), 0
    for chunk in chunks:
        for number, line in enumerate(chunk):
            if not line.strip():
                continue
            score = _score(line)
            if score > best_score:
                best, best_score = (line.strip(), _joined(chunk, number)), score
            if best_score >= 5:
                return best
    return best


def _score(line: str) -> int:
    codes = codes_in(line, is_reply=line.lstrip(" \t#<(").startswith(("4", "5")))
    if codes.enhanced and not codes.is_generic:
        return 5 if codes.reply or names_a_cause(line) else 4
    if codes.reply or codes.enhanced:
        return 4 if names_a_cause(line) else 3
    return 2 if names_a_cause(line) else 0


def _joined(chunk: list[str], start: int) -> str:
    lines = []
    for line in chunk[start : start + _MOST_REASON_LINES]:
        if lines and (not line.strip() or _NOISE.match(line)):
            break
        lines.append(line.strip())
    return " ".join(lines)


def _says_failure(text: str) -> bool:
    codes = codes_in(text)
    return bool(codes.reply or codes.enhanced) or names_a_cause(text) or has("bounce text", text)


def _is_url_part(line: str, start: int) -> bool:
    word = line[max(0, start - 200) : start].rpartition(" ")[2]
    return "://" in word
