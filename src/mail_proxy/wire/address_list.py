"""Address lists in the fields of a message header, read by their grammar.

RFC 5322 section 3.4: groups, comments, quoted names and blanks anywhere; section 4.4: old routes.
RFC 6532 adds UTF-8. The addresses themselves are checked as those of any message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mail_proxy.domain.mail import Address
from mail_proxy.wire.addresses import parse_mailbox
from mail_proxy.wire.encoded_words import decoded_words

# Possessive, so that they take linear time.
_TOKEN = re.compile(
    r"""(?P<blank>[ \t]++)|(?P<quoted>"(?:[^"\\]++|\\.)*+")|(?P<literal>\[(?:[^\[\]\\]++|\\.)*+\])
    |(?P<special>[<>:;,@])|(?P<atom>(?:[^\s"(),:;<>@\[\]\\]|\\.)++)""",
    re.VERBOSE,
)
_COMMENT_PART = re.compile(r"(?:[^()\\]++|\\.)*+")
_QUOTED_PAIR = re.compile(r"\\(.)")
#: Octets of an address that an error shows the beginning of.
_LONGEST_SHOWN = 80
#: Octets of an address with its name, without its comments.
_LONGEST = 998
#: Kind and text: ``blank``, ``comment``, ``quoted``, ``literal``, ``special`` or ``atom``.
_Token = tuple[str, str]


def addresses_in(text: str) -> Iterator[Address]:
    """Yield the mailboxes of an unfolded address list, those of groups included.

    A name is decoded, for people to read. Raises ValueError that names the mistake.
    """
    is_in_group = False
    mailbox = _Mailbox()
    for kind, part in _tokens(text):
        if mailbox.takes(kind, part):
            continue
        if part == "," or (part == ";" and is_in_group):
            if not mailbox.is_empty:
                yield mailbox.address()
            is_in_group = is_in_group and part == ","
        elif part == ":" and not is_in_group and mailbox.is_phrase:
            is_in_group = True
        else:
            hint = "; addresses have commas between them" if part == ";" else ""
            raise ValueError(f"{part!r} is out of place behind {mailbox.shown}{hint}")
        mailbox = _Mailbox()
    if not mailbox.is_empty:
        yield mailbox.address()
    if is_in_group:
        raise ValueError("a group has no end (;)")


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        if text[at] == "(":
            end = _end_of_comment(text, at)
            yield "comment", text[at + 1 : end - 1]
            at = end
            continue
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"{_shown(text[at:])} is not readable as an address")
        yield str(found.lastgroup), found[0]
        at = found.end()


def _end_of_comment(text: str, at: int) -> int:
    """Return the end of a comment, which may have others inside it."""
    begin, depth = at, 0
    while at < len(text):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return at + 1
        at = _COMMENT_PART.match(text, at + 1).end()  # type: ignore[union-attr]
        if at < len(text) and text[at] == "\\":
            break
    raise ValueError(f"a comment has no end: {_shown(text[begin:])}")


class _Mailbox:
    """Tokens of one mailbox: before, inside and behind its angle brackets."""

    def __init__(self) -> None:
        self._plain: list[_Token] = []
        self._angled: list[_Token] | None = None
        self._is_closed = False
        self._size = 0

    def takes(self, kind: str, part: str) -> bool:
        """Add a token; return False if it ends the mailbox, or has no place in it."""
        is_inside = self._angled is not None
        if kind in ("blank", "comment"):
            (self._plain if self._angled is None else self._angled).append((kind, part))
            return True
        if self._is_closed or (part == "<" and is_inside):
            return False
        if kind == "special" and not is_inside and part not in "<@":
            return False
        self._size += len(part)
        if self._size > _LONGEST:
            shown = _shown(f"{self.text}{part}")
            raise ValueError(f"{shown} has more than {_LONGEST} characters")
        if self._angled is None and part == "<":
            self._angled = []
        elif self._angled is not None and part == ">":
            self._is_closed = True
        else:
            (self._plain if self._angled is None else self._angled).append((kind, part))
        return True

    @property
    def is_empty(self) -> bool:
        return self._size == 0

    @property
    def is_phrase(self) -> bool:
        """True for words without an address, as a group's name."""
        return (
            not self.is_empty
            and self._angled is None
            and all(part != "@" and kind != "literal" for kind, part in self._plain)
        )

    @property
    def shown(self) -> str:
        """The text, quoted and shortened, for an error."""
        return _shown(self.text)

    @property
    def text(self) -> str:
        """The text without its angle brackets."""
        inside = self._angled or []
        return "".join(part for _, part in [*self._plain, *inside]).strip()

    def address(self) -> Address:
        """Return the mailbox; raises ValueError if it has no valid address."""
        if self._angled is None:
            comments = [part for kind, part in self._plain if kind == "comment"]
            name = _QUOTED_PAIR.sub(r"\1", comments[-1]) if comments else ""
            return Address(decoded_words(name.strip()), _checked(_joined(self._plain)))
        if not self._is_closed:
            raise ValueError(f"{self.shown} has no closing angle bracket")
        words = [_word(kind, part) for kind, part in self._plain if kind != "comment"]
        name = " ".join("".join(words).split())
        address = _joined(self._angled)
        if address.startswith("@"):
            address = address.partition(":")[2]  # an old route
        return Address(decoded_words(name), _checked(address))


def _word(kind: str, part: str) -> str:
    return _QUOTED_PAIR.sub(r"\1", part[1:-1]) if kind == "quoted" else part


def _joined(tokens: list[_Token]) -> str:
    """Return an address without its comments, and without blanks at dots and @."""
    text, is_apart = "", False
    for kind, part in tokens:
        if kind in ("blank", "comment"):
            is_apart = True
            continue
        is_bound = text.endswith((".", "@")) or part.startswith((".", "@"))
        text += f" {part}" if is_apart and text and not is_bound else part
        is_apart = False
    return text


def _checked(text: str) -> str:
    if not text:
        raise ValueError("an address is empty")
    return parse_mailbox(text).email


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}...")
