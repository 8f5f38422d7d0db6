"""Parser for large JSON texts in short steps, so that other threads have turns.

``orjson`` holds the interpreter lock until it has parsed everything: about 100 ms for a text of
20 MB, during which the event loop stands still. Here a value of up to ``STEP_BYTES`` is parsed by
``orjson`` as a whole. A larger object or list is parsed member by member, and a larger string in
pieces.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from contextlib import suppress
from typing import Any

import orjson

from mail_proxy.domain.long_text import LONGEST_PLAIN_TEXT, LongText

#: Parsed at once: about a millisecond.
STEP_BYTES = 262_144
#: Of a long string at once: as many octets of escapes take two milliseconds.
PIECE_BYTES = 65_536
#: Searched first for members that are no objects or lists. A regular expression takes four times as
#: long as a parser, so none is matched against a long string that it cannot find the end of.
_FIRST_BYTES = 4096
#: Characters. A longer string is cut somewhere behind it: no field may have so many.
LONGEST_STRING = 50_000_000
#: Of objects and lists that are larger than a step. A message is at the third level.
_DEEPEST_LARGE = 16
_LONGEST_ESCAPE = len(r"\u0000")
_QUOTE = ord('"')
_CLOSING = {ord("{"): b"}", ord("["): b"]"}
_BRACKETS = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_FLAT = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_CHARACTERS = re.compile(rb'(?:[^"\\]++|\\u[0-9A-Fa-f]{4}|\\[^u])*+')
_SCALARS = re.compile(rb'(?:(?:[^",\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+,)++', re.DOTALL)
_WORD = re.compile(rb'[^\s,:"\[\]{}]*+')
_SPACE = re.compile(rb"[ \t\n\r]*+")
_LOW_SURROGATE = re.compile(rb"\\u[dD][c-fC-F][0-9A-Fa-f]{2}")


class NotJson(ValueError):
    """Error of a text that is not JSON; ``position`` is that of an octet."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"is not JSON: {reason} at character {position}")


def load_in_steps(text: bytes | bytearray) -> Any:
    """Return the value of a JSON text; raises NotJson.

    A string with a lone surrogate or with octets that are not UTF-8 is returned with lone
    surrogates, which its validation refuses. One of more than ``LONGEST_PLAIN_TEXT`` characters is
    returned as a LongText.
    """
    return _Parser(text).document()


def _load(text: bytes | memoryview, position: int) -> Any:
    """Return the value of a short text; ``position`` is its place in the whole one."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if "surrogate" not in error.msg:
            raise NotJson("a mistake", position + error.pos) from None
    try:
        return json.loads(bytes(text).decode(errors="surrogateescape"))
    except (ValueError, RecursionError):
        raise NotJson("invalid text", position) from None


class _Parser:
    """Parser of one JSON text.

    Methods take the position of a value; most return the one behind it.
    """

    def __init__(self, text: bytes | bytearray) -> None:
        self._text = text
        self._view = memoryview(text)

    def document(self) -> Any:
        """Return the value of the whole text."""
        begin = len(BOM_UTF8) if self._text.startswith(BOM_UTF8) else 0
        value, at = self._value(self._behind_space(begin), 0)
        at = self._behind_space(at)
        if at < len(self._text):
            raise NotJson("unexpected content after the value", at)
        return value

    def _value(self, at: int, level: int) -> tuple[Any, int]:
        kind = self._octet(at)
        guess = self._text.find(b"},", at, at + STEP_BYTES) + 1 if kind == b"{" else 0
        if guess:
            # Most often the end of a message. An object that is valid JSON is a whole one.
            with suppress(orjson.JSONDecodeError):
                return orjson.loads(self._view[at:guess]), guess
        end = self._end_within_step(at)
        if end is not None:
            return _load(self._view[at:end], at), end
        if level == _DEEPEST_LARGE:
            raise NotJson("too many levels", at)
        if kind == b'"':
            return self._string(at + 1)
        if kind == b"{":
            return self._object(at + 1, level + 1)
        if kind == b"[":
            return self._list(at + 1, level + 1)
        raise NotJson("invalid value", at)

    def _object(self, at: int, level: int) -> tuple[dict[str, Any], int]:
        members: dict[str, Any] = {}
        at = self._behind_space(at)
        if self._octet(at) == b"}":
            return members, at + 1
        while self._octet(at) == b'"':
            scalars, at = self._scalars(at, b"{}")
            members.update(scalars)
            name, at = self._value(at, level)
            at = self._behind_space(at)
            if self._octet(at) != b":":
                raise NotJson("expected ':'", at)
            if isinstance(name, LongText):
                name = name.pieces[0]  # no field has such a name
            members[name], at = self._value(self._behind_space(at + 1), level)
            at = self._behind_space(at)
            if self._octet(at) == b"}":
                return members, at + 1
            if self._octet(at) != b",":
                raise NotJson("expected ',' or '}'", at)
            at = self._behind_space(at + 1)
        raise NotJson("expected a name", at)

    def _list(self, at: int, level: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        at = self._behind_space(at)
        if self._octet(at) == b"]":
            return items, at + 1
        objects_from = at
        while True:
            if at >= objects_from:
                objects, at, objects_from = self._objects(at)
                items.extend(objects)
            scalars, at = self._scalars(at, b"[]")
            items.extend(scalars)
            item, at = self._value(at, level)
            items.append(item)
            at = self._behind_space(at)
            if self._octet(at) == b"]":
                return items, at + 1
            if self._octet(at) != b",":
                raise NotJson("expected ',' or ']'", at)
            at = self._behind_space(at + 1)

    def _objects(self, at: int) -> tuple[list[Any], int, int]:
        """Return the objects of a list within a step, and where to try again.

        What looks like the end may be inside of a string or of another object. Then there are no
        items, and those of this step are better read one by one.
        """
        end = self._text.rfind(b"},", at, at + STEP_BYTES) + 1
        if end and self._octet(at) == b"{":
            with suppress(orjson.JSONDecodeError):
                items = orjson.loads(self._wrapped(b"[]", at, end))
                following = self._behind_space(end + 1)
                return items, following, following
        return [], at, max(at + 1, end)

    def _scalars(self, at: int, brackets: bytes) -> tuple[Any, int]:
        """Return members of less than a step, up to the first object, list or long string."""
        found = _SCALARS.match(self._text, at, at + _FIRST_BYTES)
        if found is not None and found.end() > at + _FIRST_BYTES // 2:
            found = _SCALARS.match(self._text, at, at + STEP_BYTES)
        if found is None:
            return (), at
        inside = self._wrapped(brackets, at, found.end() - 1)
        return _load(inside, at - 1), self._behind_space(found.end())

    def _string(self, at: int) -> tuple[str | LongText, int]:
        """Return a long string, and the position behind its closing quote."""
        pieces, length = [], 0
        while self._octet(at) != b'"':
            end = self._end_of_piece(at)
            piece = _load(self._wrapped(b'""', at, end), at - 1)
            if length <= LONGEST_STRING:
                pieces.append(piece)
            length += len(piece)
            at = end
        text = "".join(pieces) if length <= LONGEST_PLAIN_TEXT else LongText(tuple(pieces))
        return text, at + 1

    def _end_of_piece(self, at: int) -> int:
        """Return where the next piece of a string ends: between two characters."""
        text, limit = self._text, min(at + PIECE_BYTES, len(self._text))
        quote = text.find(b'"', at, limit)
        if quote >= 0 and self._is_escaped(at, quote):
            # Of the same length without escapes. A regular expression takes twenty times as long.
            plain = text[at:limit].replace(rb"\\", b"  ").replace(rb"\"", b"  ")
            found = plain.find(b'"')
            quote = at + found if found >= 0 else -1
        if quote >= 0:
            return quote
        end = self._between_characters(at, limit) if limit < len(text) else at
        if end == at:
            raise NotJson("invalid or unfinished string", at)
        return end

    def _between_characters(self, at: int, end: int) -> int:
        """Return a position near ``end`` that divides no escape and no character."""
        text = self._text
        escape = text.rfind(b"\\", max(at, end - _LONGEST_ESCAPE), end)
        if escape > at and not self._is_escaped(at, escape):
            end = escape
        pair = _LOW_SURROGATE.match(text, end)
        if pair is not None:
            return pair.end()
        longest = min(end + 3, len(text))
        while end < longest and 0x80 <= text[end] < 0xC0:
            end += 1
        return end

    def _is_escaped(self, at: int, place: int) -> bool:
        """Return whether an odd number of backslashes is before a place."""
        before = self._text[at:place]
        return (len(before) - len(before.rstrip(b"\\"))) % 2 == 1

    def _end_within_step(self, at: int) -> int | None:
        """Return where a value ends, or None if it is incomplete or longer than a step."""
        text, limit = self._text, min(at + STEP_BYTES, len(self._text))
        kind = self._octet(at)
        if kind == b'"':
            quote = text.find(b'"', at + 1, limit)
            if quote < 0 or not self._is_escaped(at + 1, quote):
                return quote + 1 or None
            end = _CHARACTERS.match(text, at + 1, limit).end()  # type: ignore[union-attr]
            return end + 1 if end < limit and text[end] == _QUOTE else None
        if kind in (b"{", b"["):
            # It cannot end behind the last bracket of its kind.
            return self._end_of_brackets(at, text.rfind(_CLOSING[kind[0]], at, limit) + 1)
        end = _WORD.match(text, at, limit).end()  # type: ignore[union-attr]
        if end == at:
            raise NotJson("expected a value", at)
        return end if end < limit or end == len(text) else None

    def _end_of_brackets(self, at: int, limit: int) -> int | None:
        text, depth = self._text, 0
        while at < limit and text[at] in _BRACKETS:
            depth += _BRACKETS[text[at]]
            at += 1
            if depth == 0:
                return at
            at = _FLAT.match(text, at, limit).end()  # type: ignore[union-attr]
        return None

    def _behind_space(self, at: int) -> int:
        while True:
            end = _SPACE.match(self._text, at, at + STEP_BYTES).end()  # type: ignore[union-attr]
            if end < at + STEP_BYTES:
                return end
            at = end

    def _wrapped(self, ends: bytes, at: int, end: int) -> bytes:
        return b"".join((ends[:1], self._view[at:end], ends[1:]))

    def _octet(self, at: int) -> bytes | bytearray:
        """Return the octet at a position, empty at the end of the text."""
        return self._text[at : at + 1]
