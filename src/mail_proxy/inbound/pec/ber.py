"""Bounded reader of BER (ITU-T X.690), the encoding of S/MIME signatures.

Signatures of PEC providers have indefinite lengths, which readers of DER refuse.
"""

from __future__ import annotations

from dataclasses import dataclass

_MOST_DEPTH = 16
_MOST_ELEMENTS = 5_000
_INDEFINITE = 0x80
_CONSTRUCTED = 0x20
_MORE_TAG = 0x1F
OCTETS, OBJECT, SEQUENCE, SET = 0x04, 0x06, 0x30, 0x31


class NotBer(ValueError):
    """The octets are no BER, or exceed a bound."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element: its identifier octet, its content, and the octets of both."""

    tag: int
    content: bytes
    octets: bytes

    @property
    def children(self) -> list[Element]:
        """The elements inside; raises NotBer."""
        if not self.tag & _CONSTRUCTED:
            raise NotBer("a primitive element has no elements inside")
        found, place, budget = [], 0, _Budget()
        while place < len(self.content):
            element, place = _read(self.content, place, 0, budget)
            found.append(element)
        return found

    @property
    def value(self) -> bytes:
        """The octets of a string, also of one in pieces."""
        if not self.tag & _CONSTRUCTED:
            return self.content
        return b"".join(child.value for child in self.children)


class _Budget:
    def __init__(self) -> None:
        self.left = _MOST_ELEMENTS

    def take(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise NotBer("too many elements")


def read_ber(octets: bytes) -> Element:
    """Return the first element; raises NotBer."""
    return _read(octets, 0, 0, _Budget())[0]


def _read(octets: bytes, place: int, depth: int, budget: _Budget) -> tuple[Element, int]:
    """Return the element at a place, and the place behind it."""
    budget.take()
    if depth > _MOST_DEPTH:
        raise NotBer("too deep")
    if place + 2 > len(octets):
        raise NotBer("an element is cut off")
    tag, length = octets[place], octets[place + 1]
    if tag & _MORE_TAG == _MORE_TAG:
        raise NotBer("an element has a long tag")
    start = place + 2
    if length == _INDEFINITE:
        end = _end_of_contents(octets, start, depth, budget)
        return Element(tag, octets[start:end], octets[place : end + 2]), end + 2
    if length > _INDEFINITE:
        more = length - _INDEFINITE
        if more > 4 or start + more > len(octets):
            raise NotBer("a length is wrong")
        length = int.from_bytes(octets[start : start + more])
        start += more
    end = start + length
    if end > len(octets):
        raise NotBer("an element is cut off")
    return Element(tag, octets[start:end], octets[place:end]), end


def _end_of_contents(octets: bytes, place: int, depth: int, budget: _Budget) -> int:
    while octets[place : place + 2] != b"\0\0":
        place = _read(octets, place, depth + 1, budget)[1]
    return place
