"""Syntax of IMAP commands (RFC 3501 section 9), for the IMAP server for tests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

#: A longer command ends the session.
LONGEST_COMMAND_BYTES = 60_000_000
_LITERAL = re.compile(rb"\{(\d{1,9})(\+?)\}\r\n\Z")
_TOKEN = re.compile(
    rb'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<paren>[()])'
    rb'|(?P<atom>[^\s()"\[\]]*\[[^\]]*\](?:<[\d.]+>)?|[^\s()"]+))'
)


class BadCommand(Exception):
    """A command that this server does not understand; the text is for its author."""


async def read_command(
    reader: asyncio.StreamReader, go_ahead: Callable[[], Awaitable[None]]
) -> list[bytes]:
    """Read a command; return its lines and literals in turn, without the line ends.

    ``go_ahead`` invites the client to send a literal.
    """
    pieces: list[bytes] = []
    size = 0
    while True:
        line = await reader.readuntil(b"\r\n")
        literal = _LITERAL.search(line)
        size += len(line) + (int(literal[1]) if literal else 0)
        if size > LONGEST_COMMAND_BYTES:
            raise OSError("the command is too long")
        if literal is None:
            return [*pieces, line[:-2]]
        if not literal[2]:
            await go_ahead()
        pieces += [line[: literal.start()], await reader.readexactly(int(literal[1]))]


def parse_command(pieces: Sequence[bytes]) -> list[Any]:
    """Return tokens: atoms are ``str``, strings ``bytes``, lists are lists."""
    stack: list[list[Any]] = [[]]
    for number, piece in enumerate(pieces):
        if number % 2:
            stack[-1].append(piece)
        else:
            _add_tokens(piece, stack)
    if len(stack) > 1:
        raise BadCommand("a parenthesis is open")
    return stack[0]


def _add_tokens(text: bytes, stack: list[list[Any]]) -> None:
    at = 0
    while at < len(text) and not text[at:].isspace():
        found = _TOKEN.match(text, at)
        if found is None:
            raise BadCommand("a quoted string is open")
        at = found.end()
        if found["quoted"] is not None:
            stack[-1].append(re.sub(rb"\\(.)", rb"\1", found["quoted"]))
        elif found["atom"] is not None:
            stack[-1].append(found["atom"].decode("utf-8", "replace"))
        elif found["paren"] == b"(":
            inner: list[Any] = []
            stack[-1].append(inner)
            stack.append(inner)
        elif len(stack) == 1:
            raise BadCommand("a parenthesis is not open")
        else:
            stack.pop()


def text_of(token: Any) -> str:
    """Return an atom or a string as text. Raises BadCommand for a list."""
    if isinstance(token, list):
        raise BadCommand("a list is not allowed here")
    return token if isinstance(token, str) else bytes(token).decode("utf-8", "replace")


def number_set(token: Any, last: int) -> Callable[[int], bool]:
    """Return the condition of a set such as ``1:5,9:*``, where ``*`` is ``last``."""
    ranges = []
    for part in text_of(token).split(","):
        first, colon, end = part.partition(":")
        try:
            low = last if first == "*" else int(first)
            high = (last if end == "*" else int(end)) if colon else low
        except ValueError:
            raise BadCommand(f"no set of numbers: {part}") from None
        ranges.append((min(low, high), max(low, high)))
    return lambda number: any(low <= number <= high for low, high in ranges)


def quoted(text: str) -> bytes:
    """Return a text as a quoted string."""
    return b'"' + text.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
