"""Category of a bounce: from enhanced code, reply code and words of the server.

An exact enhanced code decides. Servers use few codes with care, so words may replace the others.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mail_proxy.inbound.addresses import ADDRESS
from mail_proxy.inbound.bounces.codes import Codes
from mail_proxy.inbound.bounces.info import BounceCategory, BounceType

_USER, _HOST = BounceCategory.UNKNOWN_USER, BounceCategory.UNKNOWN_HOST
_FULL, _SIZE = BounceCategory.MAILBOX_FULL, BounceCategory.SIZE
_POLICY, _SPAM = BounceCategory.POLICY, BounceCategory.SPAM
_NETWORK, _OTHER = BounceCategory.NETWORK, BounceCategory.OTHER

_CAUSES_FILE = Path(__file__).with_name("causes.txt")
_MOST_CHARACTERS = 1_500
_HOST_SAID = re.compile(
    r"\bhost [\w.-]{1,255}\s?(?:\[[^\]]{1,50}\])?\s?(?:said|refused to talk to me)"
    r"|[Rr]emote host said"
)


@dataclass(frozen=True, slots=True)
class _Meaning:
    """Category of an enhanced code; ``words`` may replace it by one of ``unless``."""

    category: BounceCategory
    unless: frozenset[BounceCategory]


@dataclass(frozen=True, slots=True)
class _Cause:
    """One section of the file of words."""

    category: BounceCategory
    is_certain: bool
    words: re.Pattern[str]


_ANY = frozenset(BounceCategory)
#: By subject and detail (RFC 3463, the registry of enhanced codes, and codes of Microsoft 365).
#: Servers use few codes with care: for the others, words decide.
_ENHANCED: dict[str, _Meaning] = {
    "1.0": _Meaning(_USER, _ANY - {_NETWORK, _OTHER}),
    "1.1": _Meaning(_USER, frozenset({_FULL, _HOST})),
    "1.2": _Meaning(_HOST, frozenset({_FULL})),
    "1.3": _Meaning(_USER, frozenset({_HOST})),
    "1.4": _Meaning(_USER, frozenset()),
    "1.6": _Meaning(_USER, frozenset()),
    "1.7": _Meaning(_POLICY, frozenset()),
    "1.8": _Meaning(_POLICY, frozenset()),
    "1.9": _Meaning(_OTHER, _ANY),
    "1.10": _Meaning(_HOST, frozenset({_USER})),
    "2.0": _Meaning(_OTHER, _ANY),
    "2.1": _Meaning(_USER, frozenset({_FULL, _POLICY, _SPAM})),
    "2.2": _Meaning(_FULL, frozenset()),
    "2.3": _Meaning(_SIZE, frozenset()),
    "2.4": _Meaning(_OTHER, _ANY - {_NETWORK}),
    "3.0": _Meaning(_OTHER, _ANY - {_NETWORK}),
    "3.1": _Meaning(_FULL, frozenset()),
    "3.2": _Meaning(_NETWORK, _ANY - {_USER, _OTHER}),
    "3.3": _Meaning(_OTHER, frozenset()),
    "3.4": _Meaning(_SIZE, frozenset()),
    "3.5": _Meaning(_OTHER, _ANY - {_USER}),
    "4.0": _Meaning(_NETWORK, _ANY - {_OTHER, _POLICY}),
    "4.1": _Meaning(_NETWORK, _ANY - {_OTHER, _POLICY}),
    "4.2": _Meaning(_NETWORK, _ANY - {_OTHER, _USER}),
    "4.3": _Meaning(_NETWORK, frozenset({_HOST})),
    "4.4": _Meaning(_HOST, frozenset({_NETWORK, _USER, _FULL})),
    "4.5": _Meaning(_NETWORK, frozenset({_POLICY})),
    "4.6": _Meaning(_NETWORK, frozenset()),
    "4.7": _Meaning(_NETWORK, frozenset({_FULL, _HOST, _POLICY, _SPAM})),
    "4.310": _Meaning(_HOST, frozenset()),
    "4.312": _Meaning(_HOST, frozenset()),
    "5.0": _Meaning(_OTHER, _ANY),
    "5.1": _Meaning(_OTHER, _ANY - {_NETWORK}),
    "5.2": _Meaning(_OTHER, _ANY - {_NETWORK}),
    "5.3": _Meaning(_POLICY, _ANY - {_OTHER, _NETWORK}),
    "5.4": _Meaning(_OTHER, _ANY - {_NETWORK}),
    "7.0": _Meaning(_POLICY, frozenset({_SPAM, _FULL, _USER, _SIZE, _HOST})),
    "7.1": _Meaning(_POLICY, frozenset({_SPAM, _FULL, _USER, _SIZE})),
    "7.13": _Meaning(_USER, frozenset()),
    "7.17": _Meaning(_USER, frozenset()),
    "7.28": _Meaning(_SPAM, frozenset()),
    "7.350": _Meaning(_SPAM, frozenset()),
    "7.512": _Meaning(_POLICY, frozenset()),
}
#: By the subject alone.
_SUBJECTS: dict[str, _Meaning] = {
    "0": _Meaning(_OTHER, _ANY),
    "1": _Meaning(_USER, _ANY - {_NETWORK, _OTHER}),
    "2": _Meaning(_OTHER, _ANY),
    "3": _Meaning(_OTHER, _ANY),
    "4": _Meaning(_NETWORK, frozenset({_HOST, _FULL})),
    "5": _Meaning(_OTHER, _ANY),
    "6": _Meaning(_OTHER, frozenset({_SPAM, _POLICY, _SIZE, _FULL})),
    "7": _Meaning(_POLICY, frozenset({_SPAM})),
}
#: If no word is known.
_REPLIES: dict[str, BounceCategory] = {
    "421": _NETWORK,
    "422": _FULL,
    "431": _FULL,
    "432": _NETWORK,
    "441": _NETWORK,
    "442": _NETWORK,
    "446": _NETWORK,
    "447": _NETWORK,
    "450": _USER,
    "452": _FULL,
    "510": _USER,
    "511": _USER,
    "512": _HOST,
    "513": _USER,
    "515": _USER,
    "521": _HOST,
    "523": _SIZE,
    "530": _POLICY,
    "535": _POLICY,
    "541": _SPAM,
    "550": _USER,
    "551": _USER,
    "552": _FULL,
    "553": _USER,
    "556": _HOST,
    "557": _POLICY,
    "571": _POLICY,
}
_SOFT_WITHOUT_CODE = frozenset({_FULL, _NETWORK})


def category_of(codes: Codes, *texts: str) -> BounceCategory:
    """Return the cause of a failure.

    ``texts`` are looked at in turn, until one has known words: the server's answer, then the
    explanation for the user.
    """
    if codes.enhanced is None or codes.is_generic:
        words = _by_words(*texts)
        return words.category if words else _REPLIES.get(codes.reply or "", _OTHER)
    detail = codes.enhanced[2:]
    meaning = _ENHANCED.get(detail) or _SUBJECTS[detail[0]]
    if not meaning.unless:
        return meaning.category
    found = _by_words(*texts)
    if found is None:
        is_vague = meaning.category is _OTHER and detail[0] in "025"
        return _REPLIES.get(codes.reply or "", _OTHER) if is_vague else meaning.category
    if codes.enhanced == "5.4.1" and any("access denied" in text.lower() for text in texts):
        return _USER  # "Recipient address rejected: Access denied" of Microsoft 365
    if found.is_certain or found.category in meaning.unless:
        return found.category
    return meaning.category


def type_of(codes: Codes, category: BounceCategory) -> BounceType:
    """Return the permanence by the code; without a code, by the cause."""
    if codes.permanence in ("4", "5"):
        return BounceType.SOFT if codes.permanence == "4" else BounceType.HARD
    return BounceType.SOFT if category in _SOFT_WITHOUT_CODE else BounceType.HARD


def names_a_cause(text: str) -> bool:
    """Return whether a text has words that name the cause of a failure."""
    return _by_words(text) is not None


def folded(text: str) -> str:
    """Return a text without case and accents, for the comparison with words."""
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in parts if not unicodedata.combining(c))


def _by_words(*texts: str) -> _Cause | None:
    for text in texts:
        plain = ADDRESS.sub(" ", _HOST_SAID.sub(" ", text[:_MOST_CHARACTERS]))
        plain = " ".join(folded(plain).replace("\u2019", "'").split())
        for cause in _causes() if plain else ():
            if cause.words.search(plain):
                return cause
    return None


@cache
def _causes() -> tuple[_Cause, ...]:
    """Return the sections of the file of words, in order."""
    sections: list[tuple[str, list[str]]] = []
    for line in _CAUSES_FILE.read_text("utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            sections.append((line.strip("[]"), []))
        elif line and not line.startswith("#"):
            sections[-1][1].append(folded(line).replace("~", ".{0,40}?"))
    return tuple(
        _Cause(BounceCategory(name.rstrip("!")), name.endswith("!"), re.compile("|".join(lines)))
        for name, lines in sections
    )
