"""Time and memory of the parsers are in proportion to the size of a mail, whatever is in it"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest
from tests.harness.corpus import BOUNCES, with_line_ends
from tests.harness.hostile_mails import HEADER, MAILS, nested

from mail_proxy.inbound.bounces.parser import BounceParser
from mail_proxy.inbound.pec.daticert import read_daticert
from mail_proxy.inbound.pec.receipt import PecReceiptParser

_OCTETS = 60_000
_TIMES_LARGER = 4
#: Twice as much as a linear parser needs; a quadratic one needs 16 times as much.
_MOST_TIMES_SLOWER = 2 * _TIMES_LARGER


def _parse(octets: bytes) -> None:
    BounceParser().parse(octets)
    PecReceiptParser().parse(octets)


def _seconds(work: Callable[[], None]) -> float:
    begin = time.thread_time()
    work()
    return time.thread_time() - begin


@pytest.fixture(scope="module")
def noise_seconds() -> float:
    """Time for fifty common bounces: less than this is not compared."""
    mails = [mail.read_bytes() for mail in BOUNCES[:50]]
    _parse(HEADER)  # reads the tables
    return _seconds(lambda: [_parse(mail) for mail in mails] and None)


@pytest.mark.parametrize("name", MAILS)
def test_time_grows_with_the_size(name: str, noise_seconds: float) -> None:
    small, large = MAILS[name](_OCTETS), MAILS[name](_TIMES_LARGER * _OCTETS)
    expected = max(_seconds(lambda: _parse(small)), noise_seconds)
    assert _seconds(lambda: _parse(large)) < _MOST_TIMES_SLOWER * expected


def test_ten_thousand_nested_parts_are_read() -> None:
    _parse(nested(10_000))


def test_fifty_megabytes_need_a_few_copies_at_most() -> None:
    report = with_line_ends(BOUNCES[0].read_bytes(), b"\r\n")
    mail = report + b"x" * 998 + b"\r\n" + (b"y" * 98 + b"\r\n") * 500_000
    tracemalloc.start()
    try:
        _parse(mail)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(mail)


@pytest.mark.parametrize(
    "declaration",
    [
        "<!ENTITY a 'x'>",
        "<!ENTITY % a 'x'>",
        "<!ENTITY a SYSTEM 'file:///etc/hostname'>",
        "<!ENTITY % a SYSTEM 'http://127.0.0.1/x'> %a;",
    ],
)
def test_entities_are_refused(declaration: str) -> None:
    text = f"<!DOCTYPE postacert [{declaration}]><postacert tipo='accettazione'></postacert>"
    assert read_daticert(text.encode()) is None
