"""Every error answer has a code and words of the proxy's own, whatever is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pydantic_core._pydantic_core import list_all_errors
from tests.protocols.rest import bad_requests as bad
from tests.protocols.rest.client import ONE_DATABASE, Client

from mail_proxy import errors
from mail_proxy.wire.mistakes import MOST_MISTAKES, NOT_VALID
from mail_proxy.wire.new_messages import RejectionCode

pytestmark = ONE_DATABASE
#: Beginnings of the sentences of the JSON parsers and of the address library.
SENTENCES = (
    *("Expecting", "Extra data", "Unterminated string", "Invalid control", "Invalid \\escape"),
    *("unexpected character", "surrogate in string", "no low surrogate", "str is not valid"),
    *("unexpected end", "trailing", "input data is", "recursion limit", "control character ("),
    *("An email address", "The email address", "The part after", "The display name"),
    *("There must be", "There was an error", "Method Not Allowed", "Not Found", "Bad Request"),
    *("Value error", "Assertion failed", "Input should", "constrained", "function-after"),
)


def library_sentences() -> Iterator[str]:
    """The longest fixed part of each sentence of the validation library."""
    for known in list_all_errors():
        parts = re.split(r"\{\w+\}", known["message_template_python"])
        longest = max(parts, key=len).strip()
        if len(longest) >= 12:
            yield longest
    yield from SENTENCES


LIBRARY = tuple(library_sentences())
CODES = {
    kind.code
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.MailProxyError)
}


def texts_of(answer: dict[str, Any]) -> Iterator[str]:
    """All sentences of an answer, each without the values that the client gave."""
    if not answer["ok"]:
        yield answer["error"]
    detail = answer.get("detail") or {}
    for mistake in detail if isinstance(detail, list) else ():
        yield mistake["message"]
    rejected = detail.get("rejected", ()) if isinstance(detail, dict) else ()
    yield from (r["reason"] for r in [*rejected, *answer.get("rejected", ())])


def check(label: str, answer: dict[str, Any]) -> None:
    if not answer["ok"]:
        assert answer["code"] in CODES, label
        assert answer["error"], label
    detail = answer.get("detail") or {}
    if isinstance(detail, list):
        assert len(detail) <= MOST_MISTAKES, label
        assert all(mistake["message"] != NOT_VALID for mistake in detail), label
    rejected = detail.get("rejected", ()) if isinstance(detail, dict) else ()
    for rejection in [*rejected, *answer.get("rejected", ())]:
        assert rejection["code"] in set(RejectionCode), label
        assert not re.search(rf": {NOT_VALID}(;|$)", rejection["reason"]), label
    for text in texts_of(answer):
        assert not any(sentence in text for sentence in LIBRARY), (label, text)


@pytest.fixture
async def wrong(idle: Client) -> AsyncIterator[list[str]]:
    """Labels of the refused calls; each test must have some."""
    refused: list[str] = []
    yield refused
    assert refused


async def send(client: Client, wrong: list[str], method: str, path: str, body: bytes) -> None:
    headers = {"X-API-Token": "admin-token", "Content-Type": "application/json"}
    response = await client.http.request(method, path, content=body, headers=headers)
    answer = response.json()
    check(f"{method} {path} {body[:200]!r}", answer)
    if response.status_code >= 400:
        wrong.append(path)


async def test_bodies_that_are_no_request(idle: Client, wrong: list[str]) -> None:
    for method, path in bad.REQUESTS:
        for body in bad.BODIES:
            await send(idle, wrong, method, path, body)


async def test_values_that_no_field_of_a_request_takes(idle: Client, wrong: list[str]) -> None:
    for (method, path), fields in bad.REQUESTS.items():
        for field in fields:
            for value in bad.VALUES:
                body = json.dumps({**bad.REQUIRED.get(path, {}), field: value}).encode()
                await send(idle, wrong, method, path, body)


@pytest.mark.parametrize("field", bad.MESSAGE_FIELDS)
async def test_values_that_no_field_of_a_message_takes(
    idle: Client, wrong: list[str], field: str
) -> None:
    for value in bad.VALUES:
        body = json.dumps({"messages": [{**bad.MAIL, field: value}]}).encode()
        await send(idle, wrong, "POST", bad.ADD, body)
    record = {k: v for k, v in bad.MAIL.items() if k != field}
    body = json.dumps({"messages": [record, {**record, "priority": 9}, 5, None]}).encode()
    await send(idle, wrong, "POST", bad.ADD, body)


async def test_nested_fields(idle: Client, wrong: list[str]) -> None:
    for method, path, record in bad.NESTED:
        await send(idle, wrong, method, path, json.dumps(record).encode())


async def test_paths_and_queries(idle: Client) -> None:
    for method, path in bad.QUERIES:
        response = await idle(method, path)
        assert response.status_code >= 400, path
        check(f"{method} {path}", response.json())


async def test_errors_before_a_route_is_asked(idle: Client) -> None:
    for token in ("", "nobody"):
        check("token", (await idle("GET", "/messages", token=token)).json())
    tenant = await idle.tenant("t2")
    check("scope", (await idle("GET", "/tenants", token=tenant)).json())
    headers = {"X-API-Token": "admin-token", "X-Many": "x" * 70_000}
    check("headers", (await idle.http.get("/messages", headers=headers)).json())
    for name, value in (("Content-Encoding", "gzip"), ("Content-Type", "text/xml")):
        response = await idle.http.post(
            bad.ADD, content=b"x", headers={"X-API-Token": "admin-token", name: value}
        )
        assert (response.status_code, response.json()["code"]) == (415, "unsupported")
        check(name, response.json())


async def test_every_mistake_is_named(idle: Client) -> None:
    record = {"hots": "x", "port": "many", "tls": "yes", "limit_per_day": -1}
    answer = (await idle("POST", "/account", record)).json()
    assert [m["field"] for m in answer["detail"]] == ["id", "port", "tls", "limit_per_day", "hots"]
    assert answer["detail"][-1]["message"] == "unknown field; did you mean host?"
    assert answer["error"].startswith("id: required; port: must be a whole number; tls: allowed: ")


async def test_a_rejection_names_every_wrong_field(idle: Client) -> None:
    record = {
        **bad.MAIL,
        "from": "nobody",
        "cc": ["x@y z"],
        "html": "<p>",
        "priority": 9,
        "account_id": "none",
    }
    answer = (await idle("POST", bad.ADD, {"messages": [record]})).json()
    assert (answer["code"], len(answer["detail"]["rejected"])) == ("nothing_usable", 1)
    (rejected,) = answer["detail"]["rejected"]
    assert rejected["code"] == "malformed"
    for part in (
        "priority: allowed: 0-3",
        "html: unknown field; did you mean body_html?",
        "from: 'nobody' is not a mail address: it has no @",
        "cc: 'x@y z' is not a mail address: it has a blank",
        "account_id: no such account",
    ):
        assert part in rejected["reason"]
    without_form_mistakes = {k: record[k] for k in record if k not in ("html", "priority")}
    answer = (await idle("POST", bad.ADD, {"messages": [without_form_mistakes]})).json()
    (rejected,) = answer["detail"]["rejected"]
    assert [p.partition(":")[0] for p in rejected["reason"].split("; ")] == [
        *("cc", "from", "account_id"),
    ]


async def test_no_mistake_is_named_that_a_call_just_before_has_mended(idle: Client) -> None:
    await idle.ok("POST", "/tenant", {"id": "acme"})
    await idle.ok("POST", "/account", {"id": "new", "host": "127.0.0.1", "tenant_id": "acme"})
    record = {**bad.MAIL, "tenant_id": "acme", "html_body": "<p>"}
    answer = (await idle("POST", bad.ADD, {"messages": [record]})).json()
    (rejected,) = answer["detail"]["rejected"]
    assert rejected["reason"] == "html_body: unknown field; did you mean body_html?"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"account_id": "none"}, "no_such_account"),
        ({"tenant_id": "none"}, "no_such_tenant"),
        ({"to": ["a@example.org"] * 1001}, "too_large"),
        ({"expires_ts": 1_000_000_000}, "expired"),
        ({"subject": None}, "malformed"),
    ],
)
async def test_a_rejection_has_a_code(idle: Client, fields: dict[str, Any], code: str) -> None:
    answer = (await idle("POST", bad.ADD, {"messages": [{**bad.MAIL, **fields}]})).json()
    assert [r["code"] for r in answer["detail"]["rejected"]] == [code]


async def test_of_many_mistakes_twenty_are_listed_with_their_number(idle: Client) -> None:
    answer = (await idle("POST", "/account", {f"x{n}": 1 for n in range(100)})).json()
    assert len(answer["detail"]) == MOST_MISTAKES
    assert answer["detail"][-1]["message"] == "82 more of 101 mistakes are not listed"
