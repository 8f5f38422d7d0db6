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

_FOLD_AT = 78
_MAX_LINE = 998
#: RFC 2047 section 2: an encoded word has at most 75 characters, its line at most 76.
_MAX_ENCODED_WORD = 75
_ENCODED_WORD_FRAME = len("=?utf-8?q??=")

#: Octets that each octet becomes in a Q word: itself or an underscore, or three.
_Q_COSTS = bytes(quoprimime.header_length(bytes([octet])) for octet in range(256))

_FIELD_NAME = re.compile(r"[!-9;-~]{1,900}")
_PRINTABLE = re.compile(r"[!-~]+(?: +[!-~]+)*")
_ONE_TOKEN = re.compile(r"[!-~]+")
_PHRASE = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?: [\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
_MAILBOX = re.compile(r"[^\x00-\x1f\x7f<>]+|\"[^\x00-\x1f\x7f]*\"@[^\x00-\x20\x7f<>]+")
_FOLDING_UNIT = re.compile(r" *[^ ]+")
_FORBIDDEN = re.compile(r"[\r\n\0]")
_QUOTE = str.maketrans({'"': r"\"", "\\": r"\\"})


def text_header(name: str, value: str) -> str:
    """Write an unstructured header such as Subject, so that parsers restore ``value``."""
    if _PRINTABLE.fullmatch(value) is not None and "=?" not in value:
        line = f"{name}: {value}"
        if len(line) <= _FOLD_AT:
            return line
        if _longest_unit(line) < _MAX_LINE:
            return _fold(line)
    elif not value:
        return f"{name}: "
    return _fold(f"{name}: {_encoded_words(name, value)}")


def token_header(name: str, value: str) -> str:
    """Write an identifier as a header.

    An identifier with a space is encoded, because relays refold such lines.
    """
    if _ONE_TOKEN.fullmatch(value) is not None:
        return text_header(name, value)
    return _fold(f"{name}: {_encoded_words(name, value)}")


def raw_header(name: str, value: str) -> str:
    """Write a structured header without encoded words, such as Message-ID.

    Non-ASCII text stays UTF-8 (RFC 6532).
    """
    _refuse_injection(name, value)
    return f"{name}: {value}"


def extra_header(name: str, value: str) -> str:
    """Write a header that the client has named. Raises ValueError for an invalid name."""
    if _FIELD_NAME.fullmatch(name) is None:
        raise ValueError(f"header {name[:100]!r}: not a field name")
    return text_header(name, value)


def address_header(name: str, addresses: Iterable[Address]) -> str:
    """Write From, To, Cc or Reply-To.

    A blank display name is left out. A non-ASCII local part stays as it is (RFC 6532).
    """
    line = f"{name}: " + ", ".join([_mailbox(name, address) for address in addresses])
    return line if len(line) <= _FOLD_AT else _fold(line)


def _mailbox(header: str, address: Address) -> str:
    name, email = address.name, address.email
    if _MAILBOX.fullmatch(email) is None:
        raise ValueError(f"header {header}: {email[:100]!r} is not a usable address")
    if not name or not name.strip(" \t"):
        return email
    if "=?" not in name:
        if _PHRASE.fullmatch(name) is not None:
            if len(name) < _FOLD_AT or _longest_unit(name) < _FOLD_AT:
                return f"{name} <{email}>"
        elif _PRINTABLE.fullmatch(name) is not None and _longest_unit(name) < _FOLD_AT:
            return f'"{name.translate(_QUOTE)}" <{email}>'
    return f"{_encoded_words(header, name)} <{email}>"


def _longest_unit(text: str) -> int:
    return max(map(len, _FOLDING_UNIT.findall(text)), default=0)


def _fold(line: str) -> str:
    """Fold before spaces, so that unfolding (dropping CRLF) restores ``line`` exactly."""
    if len(line) <= _FOLD_AT:
        return line
    # The first two units are "Name:" and the start of the value. Folding between them would leave
    # an empty first line, which some servers take for the end of the header.
    units = _FOLDING_UNIT.findall(line)
    lines = ["".join(units[:2])]
    for unit in units[2:]:
        if len(lines[-1]) + len(unit) > _FOLD_AT:
            lines.append(unit)
        else:
            lines[-1] += unit
    return "\r\n".join(lines)


def _encoded_words(header: str, value: str) -> str:
    """Write ``value`` as encoded words (RFC 2047), in the shorter of Q and B."""
    _refuse_injection(header, value)
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


def _refuse_injection(header: str, value: str) -> None:
    if _FORBIDDEN.search(value) is not None:
        raise ValueError(f"header {header}: CR, LF and NUL are not allowed")
