"""Every mail of the corpus is understood, with each kind of line end"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.harness.corpus import BOUNCES, RECEIPTS, bounce, expected, receipt, with_line_ends

_LINE_ENDS = pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])


def test_the_corpus_is_there() -> None:
    assert len(BOUNCES) >= 250
    assert len(RECEIPTS) >= 40


@_LINE_ENDS
@pytest.mark.parametrize("mail", BOUNCES, ids=lambda mail: mail.stem)
def test_a_mail_that_came_back_is_understood(mail: Path, end: bytes) -> None:
    assert bounce(with_line_ends(mail.read_bytes(), end)) == expected(mail)


@_LINE_ENDS
@pytest.mark.parametrize("mail", RECEIPTS, ids=lambda mail: mail.stem)
def test_a_receipt_is_understood(mail: Path, end: bytes) -> None:
    assert receipt(with_line_ends(mail.read_bytes(), end)) == expected(mail)


@pytest.mark.parametrize("mail", RECEIPTS, ids=lambda mail: mail.stem)
def test_pec_mail_is_no_bounce(mail: Path) -> None:
    assert bounce(mail.read_bytes())["kind"] == "none"
