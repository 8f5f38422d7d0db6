"""Codes in the texts of servers, and the category that follows from code and words"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mail_proxy.inbound.bounces.category import category_of, type_of
from mail_proxy.inbound.bounces.codes import Codes, codes_in, status_field
from mail_proxy.inbound.bounces.info import BounceCategory, BounceType

_ANSWERS = Path(__file__).parents[2] / "corpus" / "answers.txt"


def answers() -> Iterator[tuple[str, str]]:
    """Each answer of a server with the category that it is filed under"""
    category = ""
    for line in _ANSWERS.read_text("utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            category = line.strip("[]")
        elif line and not line.startswith("#"):
            yield category, line


@pytest.mark.parametrize(("category", "answer"), list(answers()))
def test_the_category_of_an_answer(category: str, answer: str) -> None:
    assert category_of(codes_in(answer, is_reply=True), answer) == category


@pytest.mark.parametrize(
    ("text", "enhanced", "reply"),
    [
        ("550 5.1.1 User unknown", "5.1.1", "550"),
        ("550-5.1.1 User unknown", "5.1.1", "550"),
        ("smtp; 550 User unknown", None, "550"),
        ("Sorry, no mailbox here. (#5.1.1)", "5.1.1", None),
        ("vpopmail (#5.1.1)", "5.1.1", None),
        ("<mx.example.org #5.5.0 smtp;550 no>", "5.5.0", "550"),
        ("Remote host said: 452 too busy", None, "452"),
        ("554 5.0.0 after 550 5.1.1", "5.1.1", "554"),
        ("host mx.example.org[5.1.1.1] is down", None, None),
        ("Exim 4.94.2 says no", None, None),
        ("Microsoft SMTPSVC(5.0.2195.6713)", None, None),
        ("the size was 550 bytes", None, None),
        ("an error after 500 attempts", None, None),
        ("delivered, 250 2.0.0 Ok", "2.0.0", None),
        ("order 550123", None, None),
    ],
)
def test_codes_of_a_text(text: str, enhanced: str | None, reply: str | None) -> None:
    assert codes_in(text) == Codes(enhanced, reply)


@pytest.mark.parametrize(
    ("value", "code"),
    [("5.1.1", "5.1.1"), (" 5 . 1 . 01 (bad)", "5.1.1"), ("5.7.133", "5.7.133"), ("bad", None)],
)
def test_a_status_field(value: str, code: str | None) -> None:
    assert status_field(value) == code


def test_a_generic_code_gives_way_to_an_exact_one() -> None:
    assert Codes("5.0.0").better(Codes("4.2.2", "452")) == Codes("4.2.2", "452")
    assert Codes("5.1.1").better(Codes("5.7.1", "550")) == Codes("5.1.1", "550")
    assert Codes("5.0.0", "550").shown() == "550"
    assert Codes("5.0.0").shown() == "5.0.0"


@pytest.mark.parametrize(
    ("codes", "category", "found"),
    [
        (Codes("5.1.1"), BounceCategory.UNKNOWN_USER, BounceType.HARD),
        (Codes("4.2.2", "452"), BounceCategory.MAILBOX_FULL, BounceType.SOFT),
        (Codes("5.0.0", "421"), BounceCategory.NETWORK, BounceType.SOFT),
        (Codes(), BounceCategory.MAILBOX_FULL, BounceType.SOFT),
        (Codes(), BounceCategory.UNKNOWN_USER, BounceType.HARD),
    ],
)
def test_the_permanence_of_a_failure(
    codes: Codes, category: BounceCategory, found: BounceType
) -> None:
    assert type_of(codes, category) is found


def test_a_text_that_names_the_cause_replaces_an_exact_code_only_if_it_is_sure() -> None:
    refused = "550 5.1.1 refused due to recipient preferences"
    assert category_of(codes_in(refused), refused) is BounceCategory.POLICY
    blocked = "550 5.1.1 your address is on a blacklist"
    assert category_of(codes_in(blocked), blocked) is BounceCategory.UNKNOWN_USER
