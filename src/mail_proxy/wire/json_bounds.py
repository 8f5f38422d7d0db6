"""Bounds on the number of values in a JSON text, checked before it is parsed.

A parsed value takes up to a hundred times the memory of its text, and the validation of a value
costs more than its parsing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mail_proxy.errors import TooLarge

#: A shorter text cannot hold enough values to matter.
UNCOUNTED_BYTES = 16_000
#: Searched at once. A search holds the interpreter lock, and this one takes about a millisecond.
_STEP_BYTES = 262_144
_SEPARATORS = b",[{"
_OUTSIDE = re.compile(rb'(?:[^"]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_INSIDE = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


def refuse_too_many_values(body: bytes | bytearray, most: int) -> int:
    """Raise TooLarge if a JSON text has more than ``most`` values.

    Returns the number of separators, including those in strings, which is at least that of values;
    0 for a short text, which is not searched. The text need not be valid JSON.
    """
    if len(body) <= UNCOUNTED_BYTES:
        return 0
    # Most texts have no more separators than that, even with those inside strings.
    starts = range(0, len(body), _STEP_BYTES)
    separators = sum(_separators(body, at, at + _STEP_BYTES) for at in starts)
    if separators > most and _is_beyond(_counts(body), most):
        raise TooLarge(f"more than {most} values in one body; allowed: {most}")
    return separators


def _is_beyond(counts: Iterator[int], most: int) -> bool:
    found = 0
    return any((found := found + count) > most for count in counts)


def _separators(text: bytes | bytearray, start: int, end: int) -> int:
    part = text[start:end]
    return len(part) - len(part.translate(None, _SEPARATORS))


def _counts(body: bytes | bytearray) -> Iterator[int]:
    """Yield the number of separators outside of strings, step by step.

    A string counts as well, by a quarter: valid JSON has at most three for two separators.
    """
    at, size = 0, len(body)
    while at < size:
        end = _OUTSIDE.match(body, at, at + _STEP_BYTES).end()  # type: ignore[union-attr]
        outside, strings = _STRING.subn(b"", body[at:end])
        yield max(_separators(outside, 0, len(outside)), strings // 4)
        at = end
        if end < size and body[end : end + 1] == b'"':
            # A string that is longer than the step, or reaches beyond it.
            at = _behind_string(body, end + 1)


def _behind_string(body: bytes | bytearray, at: int) -> int:
    size = len(body)
    while at < size:
        end = _INSIDE.match(body, at, at + _STEP_BYTES).end()  # type: ignore[union-attr]
        if body[end : end + 1] == b'"':
            return end + 1
        # A backslash at the end of the step belongs to the next one, one at the end to none.
        at = end if end > at else size
    return size
