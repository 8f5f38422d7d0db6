"""Header lines of RFC 5322, with RFC 2047 encoded words if the text needs them.

Lines are folded at spaces before the 78th character if possible, and never exceed 998 octets. Every
function raises ``ValueError`` with the header's name for text that would break the line (CR, LF,
NUL) or that UTF-8 cannot encode (lone surrogates).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from email import base64mime, quoprimime
from itertools import accumulate

from mail_proxy.domain.mail import Address

FOLD_AT = 78
MAX_LINE = 998
#: RFC 2047 section 2: an encoded word has at most 75 characters, its line at most 76.
_MAX_ENCODED_WORD = 75
_ENCODED_WORD_FRAME = len("=?utf-8?q??=")

#: Octets that each octet becomes in a Q word: itself or an underscore, or three.
_Q_COSTS = bytes(quoprimime.header_length(bytes([octet])) for octet in range(256))

_PRINTABLE = re.compile(r"[!-~]+(?: +[!-~]+)*")
_ONE_TOKEN = re.compile(r"[!-~]+")
_PHRASE = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?: [\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
_MAILBOX = re.compile(r"[^\x00-\x1f\x7f<>]+|\"[^\x00-\x1f\x7f]*\"@[^\x00-\x20\x7f<>]+")
#: What a lenient reader takes for an encoded word (RFC 2047 section 2).
_ENCODED_WORD = re.compile(r"=\?[^?]*\?[BbQq]\?")
_FOLDING_UNIT = re.compile(r" *[^ ]+")
_FORBIDDEN = re.compile(r"[\r\n\0]")
_QUOTE = str.maketrans({'"': r"\"", "\\": r"\\"})


def text_header(name: str, value: str) -> str:
    """Write an unstructured header such as Subject, so that parsers restore ``value``."""
    if _PRINTABLE.fullmatch(value) is not None and (
        "=?" not in value or _ENCODED_WORD.search(value) is None
    ):
        line = f"{name}: {value}"
        if len(line) <= FOLD_AT:
            return line
        if _longest_unit(line) < MAX_LINE:
            return fold(line)
    elif not value:
        return f"{name}: "
    return fold(f"{name}: {encoded_words(name, value)}")


def token_header(name: str, value: str) -> str:
    """Write an identifier as a header.

    An identifier with a space is encoded, because relays refold such lines.
    """
    if _ONE_TOKEN.fullmatch(value) is not None:
        return text_header(name, value)
    return fold(f"{name}: {encoded_words(name, value)}")


def raw_header(name: str, value: str) -> str:
    """Write a structured header without encoded words, such as Message-ID.

    Non-ASCII text stays UTF-8 (RFC 6532).
    """
    refuse_injection(name, value)
    return f"{name}: {value}"


def address_header(name: str, addresses: Iterable[Address]) -> str:
    """Write From, To, Cc or Reply-To.

    A blank display name is left out. A non-ASCII local part stays as it is (RFC 6532).
    """
    line = f"{name}: " + ", ".join([_mailbox(name, address) for address in addresses])
    return line if len(line) <= FOLD_AT else fold(line)


def _mailbox(header: str, address: Address) -> str:
    email = address.email
    if _MAILBOX.fullmatch(email) is None:
        raise ValueError(f"header {header}: {email[:100]!r} is not a usable address")
    name = address.name
    if not name or not name.strip(" \t"):
        return email
    return f"{phrase(header, name)} <{email}>"


def phrase(header: str, text: str) -> str:
    """Write a display name: as words if possible, else quoted, else encoded."""
    if "=?" not in text:
        if _PHRASE.fullmatch(text) is not None:
            if len(text) < FOLD_AT or _longest_unit(text) < FOLD_AT:
                return text
        elif _PRINTABLE.fullmatch(text) is not None and _longest_unit(text) < FOLD_AT:
            return f'"{text.translate(_QUOTE)}"'
    return encoded_words(header, text)


def _longest_unit(text: str) -> int:
    return max(map(len, _FOLDING_UNIT.findall(text)), default=0)


def fold(line: str) -> str:
    """Fold before spaces, so that unfolding (dropping CRLF) restores ``line`` exactly."""
    if len(line) <= FOLD_AT:
        return line
    # The first two units are "Name:" and the start of the value. Folding between them would leave
    # an empty first line, which some servers take for the end of the header.
    units = _FOLDING_UNIT.findall(line)
    lines = ["".join(units[:2])]
    for unit in units[2:]:
        if len(lines[-1]) + len(unit) > FOLD_AT:
            lines.append(unit)
        else:
            lines[-1] += unit
    return "\r\n".join(lines)


def encoded_words(header: str, value: str) -> str:
    """Write ``value`` as encoded words (RFC 2047), in the shorter of Q and B."""
    refuse_injection(header, value)
    try:
        octets = value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"header {header}: {error.reason}") from error
    encode: Callable[[bytes, str], str] = quoprimime.header_encode
    costs = octets.translate(_Q_COSTS)
    length = sum(costs)
    if base64mime.header_length(octets) < length:
        encode, length = base64mime.header_encode, base64mime.header_length(octets)
        costs = bytes([1]) * len(octets)
    # Every encoded word must fit on the first line, after the header's name.
    widest = min(_MAX_ENCODED_WORD, max(40, 76 - len(header) - len(": ")))
    room = widest - _ENCODED_WORD_FRAME
    if length <= room:
        return encode(octets, "utf-8")
    if encode is base64mime.header_encode:
        room = room // 4 * 3
    return " ".join([encode(chunk, "utf-8") for chunk in _chunks(octets, costs, room)])


def _chunks(octets: bytes, costs: bytes, room: int) -> Iterator[bytes]:
    """Split UTF-8 into chunks that cost at most ``room``, between characters.

    RFC 2047 section 5 forbids splitting inside one. ``costs`` has the cost of each octet.
    """
    begin = 0
    while begin < len(octets):
        window = costs[begin : begin + room]
        end = begin + len(window)
        if sum(window) > room:
            end = begin + bisect_right(list(accumulate(window)), room)
        while end < len(octets) and octets[end] & 0xC0 == 0x80:
            end -= 1
        yield octets[begin:end]
        begin = end


def refuse_injection(header: str, value: str) -> None:
    if _FORBIDDEN.search(value) is not None:
        raise ValueError(f"header {header}: CR, LF and NUL are not allowed")
