"""Bounds on the number of values in a JSON text, checked before it is parsed.

A parsed value takes up to a hundred times the memory of its text. The parser cannot be
interrupted, and the validation of a value costs more than its parsing.
"""

from __future__ import annotations

import re

from mail_proxy.errors import TooLarge

#: A shorter text cannot hold enough values to matter.
UNCOUNTED_BYTES = 16_000
_SEPARATORS = (b",", b"[", b"{")
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[,\[{]', re.DOTALL)


def refuse_too_many_values(body: bytes, most: int) -> None:
    """Raise TooLarge if a JSON text has more than ``most`` values.

    The text need not be valid JSON.
    """
    if len(body) <= UNCOUNTED_BYTES or sum(body.count(s) for s in _SEPARATORS) <= most:
        return  # most texts: no more separators than that, even with those inside strings
    found = 0
    for tokens, token in enumerate(_TOKEN.finditer(body)):
        if token[0] in _SEPARATORS:
            found += 1
        # Valid JSON has at most three strings for two separators.
        if found > most or tokens > 4 * most:
            raise TooLarge(f"more than {most} values in one body; allowed: {most}")
