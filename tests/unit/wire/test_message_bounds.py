"""Bounds of one message, before anything in it is parsed"""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from mail_proxy.errors import Malformed, TooLarge
from mail_proxy.wire.batches import ParsedBatch, Rejection, parse_batch

MAIL = {"id": "m", "from": "a@example.org", "to": "b@example.net", "subject": "s"}


def parsed(**fields: Any) -> ParsedBatch:
    return parse_batch(orjson.dumps({"messages": [{**MAIL, **fields}]}), 10)


def reason(**fields: Any) -> str:
    (found,) = parsed(**fields).messages
    assert isinstance(found, Rejection)
    assert len(found.reason) < 300
    return found.reason


@pytest.mark.parametrize(
    ("fields", "beginning", "allowed"),
    [
        ({"subject": "é" * 2001}, "subject: 'ééé", "allowed: 4000"),
        ({"from": "n" * 990 + " <a@example.org>"}, "from: ", "allowed: 998"),
        ({"to": ["n" * 990 + " <a@example.org>"]}, "to: ", "allowed: 998"),
        ({"return_path": "a" * 999}, "return_path: ", "allowed: 998"),
        ({"to": ["a@example.org"] * 1001}, "to: 1001 addresses", "allowed: 1000"),
        ({"to": "a@example.org," * 1001}, "to: more than 1000 addresses", "allowed: 1000"),
        ({"cc": ["a@é.example"] * 600, "bcc": ["a@é.example"] * 600}, "to, cc, bcc: ", "1000"),
        ({"reply_to": ["a@example.org"] * 1001}, "reply_to: 1001", "allowed: 1000"),
        ({"headers": {f"X-{n}": "" for n in range(101)}}, "headers: 101", "allowed: 100"),
        ({"headers": {"X-A": "x" * 64_000}}, "headers: 64003 octets", "allowed: 64000"),
        ({f"f{n}": 1 for n in range(60)}, "64 fields", "allowed: 50"),
        ({"to": [1] * 1000}, "to: must be texts", ""),
    ],
)
def test_a_bound_is_named_with_the_value_and_what_is_allowed(
    fields: dict[str, Any], beginning: str, allowed: str
) -> None:
    found = reason(**fields)
    assert found.startswith(beginning)
    assert allowed in found


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": "é" * 2000},
        {"to": ["a@example.org"] * 1000, "reply_to": ["a@example.org"] * 1000},
        {"headers": {f"X-{n}": "x" * 600 for n in range(100)}},
    ],
)
def test_what_is_allowed_is_taken(fields: dict[str, Any]) -> None:
    (found,) = parsed(**fields).messages
    assert not isinstance(found, Rejection)


def test_a_hundred_thousand_addresses_cost_no_more_than_their_parsing_as_json() -> None:
    body = orjson.dumps({"messages": [{**MAIL, "to": ["a@é.example"] * 100_000}]})
    began = time.process_time()
    for _ in range(10):
        orjson.loads(body)
    as_json = time.process_time() - began
    began = time.process_time()
    parse_batch(body, 10)
    assert time.process_time() - began < 10 * as_json + 0.1


def test_a_body_of_more_values_than_can_be_parsed_quickly_is_refused() -> None:
    with pytest.raises(TooLarge, match="allowed: 250000"):
        parse_batch(b'{"messages": [' + b"[]," * 300_000 + b"[]]}", 10)


def test_commas_inside_texts_are_no_values() -> None:
    assert not isinstance(parsed(body=r",[{\"," * 100_000).messages[0], Rejection)


def test_an_error_lists_twenty_mistakes_and_how_many_there_are() -> None:
    with pytest.raises(Malformed) as refused:
        parse_batch({"messages": [], **{f"f{n}": 1 for n in range(1000)}}, 10)
    detail = refused.value.detail
    assert len(detail) == 20
    assert detail[-1]["message"] == "981 more of 1000 mistakes are not listed"
