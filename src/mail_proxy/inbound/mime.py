"""Bounded reader of MIME messages (RFC 2045, RFC 2046) from strangers.

Any octets are read without an exception. Time and memory are linear in the size: depth, number of
parts, fields and the length of a decoded text are bounded, and no part copies the message.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from mail_proxy.domain.charsets import decode, decode_base64
from mail_proxy.inbound.html_text import html_to_text
from mail_proxy.wire.encoded_words import decoded_words

MOST_BYTES = 64_000_000
MOST_DEPTH = 12
MOST_PARTS = 300
_MOST_FIELDS = 500
_MOST_FIELD_BYTES = 8_000
_MOST_FOLDED = 200
_MOST_HEADER_BYTES = 200_000
_MOST_TEXT_BYTES = 200_000
#: Delimiter-like lines looked at in one multipart.
_MOST_DELIMITERS = 3_000
_SNIFFED_BYTES = 4_000

_FIELD_NAME = re.compile(rb"[A-Za-z0-9_.-]{1,80}[ \t]{0,20}:")
_PARAMETER = re.compile(
    r";\s{0,20}([\w*-]{1,40})\s{0,20}=\s{0,20}"
    r"(?:\"([^\"]{0,500})\"|([^;\s]{1,500}))"
)
_SNIFFED = re.compile(rb"(?:^|\n)--([!-~]{1,100})[ \t]*\n(?=Content-)", re.IGNORECASE)
#: Types whose content is a message or its header.
MESSAGE_TYPES = frozenset(
    {"message/rfc822", "message/global", "message/partial", "message/news", "text/rfc822"}
)
HEADER_TYPES = frozenset(
    {"text/rfc822-headers", "message/rfc822-headers", "message/global-headers"}
)


@dataclass(slots=True)
class _Budget:
    parts: int = MOST_PARTS


@dataclass(slots=True)
class Part:
    """One entity of a message: its header fields, and its body or its parts.

    ``fields`` has names in lower case and unfolded values as they were sent. ``content`` is the
    message inside of a ``message/rfc822``, else None. ``parts_start`` is where the first part is.
    """

    fields: list[tuple[str, str]]
    source: bytes
    start: int
    end: int
    content_type: str = "text/plain"
    parameters: dict[str, str] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    content: Part | None = None
    parts_start: int | None = None

    def header(self, name: str) -> str | None:
        """Return the first field of this name (in lower case), with encoded words decoded."""
        for found, value in self.fields:
            if found == name:
                return decoded_words(value)
        return None

    def headers(self, name: str) -> list[str]:
        return [decoded_words(value) for found, value in self.fields if found == name]

    def octets(self) -> bytes:
        """Return the beginning of the body without its Content-Transfer-Encoding."""
        raw = self.source[self.start : min(self.end, self.start + 2 * _MOST_TEXT_BYTES)]
        coding = (self.header("content-transfer-encoding") or "").strip().lower()
        if coding.startswith("base64"):
            raw = decode_base64(raw)
        elif coding.startswith("quoted-printable"):
            raw = binascii.a2b_qp(raw)
        return raw[:_MOST_TEXT_BYTES]

    def preamble(self) -> str:
        """Return the text of a multipart in front of its first part."""
        end = min(self.parts_start or self.start, self.start + _MOST_TEXT_BYTES)
        return decode(self.source[self.start : end], None)

    def text(self) -> str:
        """Return the beginning of the body as text with LF line ends; HTML as its text."""
        text = decode(self.octets(), self.parameters.get("charset"))
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
        is_html = self.content_type == "text/html" or text[:200].lstrip().lower().startswith(
            ("<html", "<!doctype html")
        )
        return html_to_text(text) if is_html else text

    def leaves(self) -> Iterator[Part]:
        """Yield the parts that have no parts, in order; messages inside are leaves."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            if part.parts:
                waiting.extend(reversed(part.parts))
            else:
                yield part

    def filename(self) -> str:
        """Return the name of an attachment in lower case; empty if it has none."""
        disposition = _parameters(self.header("content-disposition") or "")
        return (disposition.get("filename") or self.parameters.get("name") or "").strip().lower()


def read_message(octets: bytes) -> Part:
    """Return the tree of a message; what exceeds the bounds is left out."""
    octets = octets[:MOST_BYTES]
    if b"\r" in octets:
        octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    start = octets.find(octets[:_MOST_HEADER_BYTES].lstrip()[:1] or b" ")
    start = octets.rfind(b"\n", 0, max(0, start)) + 1
    return _read(octets, start, len(octets), 0, _Budget())


def read_fields(text: str) -> list[tuple[str, str]]:
    """Return header fields of a text: names in lower case, values unfolded."""
    octets = text.lstrip("\n").encode("utf-8", "replace")
    return _read_header(octets, 0, len(octets))[0]


def _read(source: bytes, start: int, end: int, depth: int, budget: _Budget) -> Part:
    budget.parts -= 1
    fields, body = _read_header(source, start, end)
    part = Part(fields, source, body, end)
    value = part.header("content-type")
    if value is not None:
        part.content_type = value.partition(";")[0].strip().strip("\"'").lower() or "text/plain"
        part.parameters = _parameters(value)
    if depth < MOST_DEPTH and budget.parts > 0:
        if part.content_type.startswith("multipart/"):
            _read_parts(part, depth, budget)
        elif part.content_type in MESSAGE_TYPES:
            part.content = _read_inner(part, depth, budget)
    return part


def _read_inner(part: Part, depth: int, budget: _Budget) -> Part:
    coding = (part.header("content-transfer-encoding") or "").strip().lower()
    source, start, end = part.source, part.start, part.end
    if coding.startswith(("base64", "quoted-printable")):
        source = part.octets().replace(b"\r\n", b"\n")
        start, end = 0, len(source)
    while start < end and source[start] == 0x0A:
        start += 1
    return _read(source, start, end, depth + 1, budget)


def _read_parts(part: Part, depth: int, budget: _Budget) -> None:
    spans = _split(part, part.parameters.get("boundary", ""))
    if not spans:
        beginning = part.source[part.start : min(part.end, part.start + _SNIFFED_BYTES)]
        found = _SNIFFED.search(beginning)
        if found:
            spans = _split(part, found[1].decode("latin-1"))
    part.parts_start = spans[0][0] if spans else None
    for start, end in spans:
        if budget.parts <= 0:
            break
        part.parts.append(_read(part.source, start, end, depth + 1, budget))


def _split(part: Part, boundary: str) -> list[tuple[int, int]]:
    """Return the spans of the parts between the delimiter lines of a multipart."""
    delimiter = b"\n--" + boundary.strip().encode("utf-8", "replace")
    if len(delimiter) == 3:
        return []
    source, end = part.source, part.end
    spans: list[tuple[int, int]] = []
    begin: int | None = None
    place = max(0, part.start - 1)
    for _ in range(_MOST_DELIMITERS):
        place = source.find(delimiter, place, end)
        if place < 0:
            break
        after = place + len(delimiter)
        line_end = source.find(b"\n", after, end)
        line_end = end if line_end < 0 else line_end
        rest = source[after : min(line_end, after + 80)].strip()
        if rest in (b"", b"--"):
            if begin is not None:
                spans.append((min(begin, place), place))
            if rest == b"--":
                return spans
            begin = min(line_end + 1, end)
        place = max(after, line_end) if rest in (b"", b"--") else after
    if begin is not None:
        spans.append((begin, end))
    return spans


def _read_header(source: bytes, start: int, end: int) -> tuple[list[tuple[str, str]], int]:
    """Return the fields and the place where the body begins."""
    fields: list[tuple[str, list[bytes]]] = []
    place, limit = start, min(end, start + _MOST_HEADER_BYTES)
    while place < limit:
        line_end = source.find(b"\n", place, end)
        line_end = end if line_end < 0 else line_end
        line = source[place : min(line_end, place + _MOST_FIELD_BYTES)]
        if not line.strip():
            return _unfolded(fields), min(line_end + 1, end)
        if line[:1] not in b" \t" and _FIELD_NAME.match(line):
            name, _, value = line.partition(b":")
            if len(fields) < _MOST_FIELDS:
                fields.append((name.strip().lower().decode("latin-1"), [value]))
        elif fields:
            # A line that was folded, or that lost its blank at the beginning on the way.
            if len(fields[-1][1]) < _MOST_FOLDED:
                fields[-1][1].append(line)
        elif not line.startswith((b"From ", b">From ")):
            return [], place
        place = line_end + 1
    return _unfolded(fields), min(place, end)


def _unfolded(fields: list[tuple[str, list[bytes]]]) -> list[tuple[str, str]]:
    return [
        (name, decode(b" ".join(line.strip() for line in lines)[:_MOST_FIELD_BYTES], None))
        for name, lines in fields
    ]


def _parameters(value: str) -> dict[str, str]:
    """Return the parameters of a field such as Content-Type (RFC 2045, RFC 2231)."""
    found: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(value):
        key = name.lower().partition("*")[0]
        text = quoted or plain
        if name.endswith("*") and text.count("'") >= 2:
            text = text.split("'", 2)[2]
        found[key] = found.get(key, "") + text if re.search(r"\*[1-9]", name) else text
    return found
