"""Signs by which a mail is recognised: tables of words, from ``signs.txt``."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from mail_proxy.inbound.bounces.category import folded

_FILE = Path(__file__).with_name("signs.txt")


def has(section: str, text: str) -> bool:
    """Return whether the text has a sign of this section of ``signs.txt``."""
    return bool(text) and _signs()[section].search(plain(text)) is not None


def is_wholly(section: str, text: str) -> bool:
    return bool(text) and _signs()[section].fullmatch(plain(text)) is not None


def begins_with(section: str, text: str) -> bool:
    return bool(text) and _signs()[section].match(plain(text)) is not None


def words(section: str) -> str:
    """Return the expressions of a section as one group, for a larger expression."""
    return f"(?:{_signs()[section].pattern})"


def plain(text: str) -> str:
    """Return a text on one line, without case and accents, for comparison."""
    return " ".join(folded(text).replace("\u2019", "'").split())


@cache
def _signs() -> dict[str, re.Pattern[str]]:
    sections: dict[str, list[str]] = {}
    for line in _FILE.read_text("utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            lines = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            lines.append(folded(line).replace("~", ".{0,40}?"))
    return {name: re.compile("|".join(lines)) for name, lines in sections.items()}
