"""The OpenAPI document tells everything, and tells the truth about errors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs
import pytest

from mail_proxy.server import create_app

Json = dict[str, Any]
#: ``use_tls`` stands for the three forms of one thing, which exclude each other.
_NOT_SHOWN = {
    *((model, "tls") for model in ("AccountIn", "UnsavedAccountTest")),
    *((model, "use_ssl") for model in ("AccountIn", "UnsavedAccountTest")),
    # Of other providers and grants.
    *(
        (model, field)
        for model in ("AccountAuthIn", "AccountAuthOut")
        for field in ("token_url", "subject", "private_key")
    ),
    # Instead of ``address``.
    ("SuppressionIn", "addresses"),
}


@cache
def document() -> Json:
    return create_app().openapi()


def operations() -> Iterator[tuple[str, Json]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def objects() -> dict[str, Json]:
    schemas: dict[str, Json] = document()["components"]["schemas"]
    return {name: schema for name, schema in schemas.items() if "properties" in schema}


@pytest.mark.parametrize("name", sorted(objects()))
def test_every_object_and_field_is_described_and_has_an_example(name: str) -> None:
    schema = objects()[name]
    assert schema.get("description")
    assert [f for f, s in schema["properties"].items() if not s.get("description")] == []
    (example,) = schema["examples"]
    assert set(schema["properties"]) - set(example) <= {f for n, f in _NOT_SHOWN if n == name}
    root = {"components": document()["components"], "$ref": f"#/components/schemas/{name}"}
    jsonschema_rs.validator_for(root).validate(example)


@pytest.mark.parametrize(
    ("label", "operation"), list(operations()), ids=lambda value: str(value)[:40]
)
def test_every_route_is_described_with_its_errors(label: str, operation: Json) -> None:
    assert operation["description"].startswith(operation["summary"])
    for parameter in operation.get("parameters", []):
        assert parameter["description"]
        schema = {"components": document()["components"], **parameter["schema"]}
        jsonschema_rs.validator_for(schema).validate(parameter["example"])
    answers = operation["responses"]
    assert list(answers["200"]["content"])
    errors = {status for status in answers if int(status) >= 400}
    assert "422" in errors
    for status in errors - {"416"}:  # which has no body
        schema = answers[status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Error"}
    assert all("X-Request-ID" in answer["headers"] for answer in answers.values())
    assert all("Retry-After" in answers[s]["headers"] for s in errors & {"429", "503"})
    if operation["x-token"] != "none":
        assert {"401", "403", "429", "503"} <= errors
    if "requestBody" in operation:
        assert {"408", "413"} <= errors


def test_names_are_short_and_each_stands_for_one_route() -> None:
    names = [operation["operationId"] for _, operation in operations()]
    assert len(set(names)) == len(names)
    assert {"messages_add", "accounts_save", "tenants_make_key", "audit_log_export"} <= set(names)
    assert max(map(len, names)) <= 30
    summaries = [operation["summary"] for _, operation in operations()]
    assert len(set(summaries)) == len(summaries)
    assert max(map(len, summaries)) <= 88


def test_both_ways_to_send_a_token_are_told() -> None:
    schemes = document()["components"]["securitySchemes"]
    assert {(s["type"], s.get("name") or s["scheme"]) for s in schemes.values()} == {
        ("apiKey", "X-API-Token"),
        ("http", "bearer"),
    }
    for _, operation in operations():
        needed = [set(one) for one in operation.get("security", [])]
        assert needed == ([] if operation["x-token"] == "none" else [{n} for n in schemes])


def test_nothing_is_left_of_the_frameworks_own_errors() -> None:
    assert "HTTPValidationError" not in str(document())
