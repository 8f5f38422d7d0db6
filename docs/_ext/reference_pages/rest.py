"""Generates the REST reference from the OpenAPI document of ``create_app()``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from mail_proxy.server import create_app
from reference_pages.markdown import code, table
from reference_pages.schemas import kind

Json = dict[str, Any]


class Operation(NamedTuple):
    """One method of one path, with its OpenAPI description."""

    method: str
    path: str
    spec: Json

    @property
    def title(self) -> str:
        return code(f"{self.method} {self.path}")


def render() -> str:
    parts: list[str] = []
    section = ""
    for operation in operations():
        tag = operation.spec["tags"][0]
        if tag != section:
            section = tag
            parts.append(f"## {tag.capitalize()}")
        parts += [f"### {operation.title}", *_described(operation)]
    parts += ["## Objects", *_objects()]
    return "\n\n".join(parts)


def operations() -> Iterator[Operation]:
    """List all operations in the order of the application."""
    for path, methods in specification()["paths"].items():
        for method, spec in methods.items():
            yield Operation(method.upper(), path, spec)


@cache
def specification() -> Json:
    return create_app().openapi()


def _described(operation: Operation) -> Iterator[str]:
    spec = operation.spec
    yield spec["description"]
    parameters = [p for p in spec.get("parameters", []) if p["in"] == "query"]
    if parameters:
        rows = [(code(p["name"]), *_kind_and_meaning(p)) for p in parameters]
        yield table(["Query", "Kind", "Meaning"], rows)
    facts = [f"Token: {_token(operation)}"]
    body = _content(spec.get("requestBody", {}))
    if body:
        optional = "" if spec["requestBody"].get("required") else ", optional"
        facts.append(f"Body: {kind(body, _schemas())}{optional}")
    answer = _content(spec["responses"]["200"])
    facts.append(f"Answer: {kind(answer, _schemas()) if answer else 'text'}")
    yield " &ensp; ".join(facts)


def _kind_and_meaning(parameter: Json) -> tuple[str, str]:
    schema = parameter["schema"]
    kinds = [inner for inner in schema.get("anyOf", [schema]) if inner.get("type") != "null"]
    return kind({"anyOf": kinds}, _schemas()), _meaning(schema, parameter.get("description", ""))


def _content(part: Json) -> Json | None:
    found: Json | None = part.get("content", {}).get("application/json", {}).get("schema")
    return found


def _token(operation: Operation) -> str:
    return str(operation.spec["x-token"])


def _schemas() -> Json:
    found: Json = specification()["components"]["schemas"]
    return found


def _objects() -> Iterator[str]:
    for name, schema in sorted(_schemas().items()):
        if "properties" not in schema:
            continue
        yield f"### {name}"
        if schema.get("description"):
            yield schema["description"].replace("``", "`")
        # Requests refuse unknown fields; in answers every field is there.
        is_request = schema.get("additionalProperties") is False
        required = schema.get("required", ()) if is_request else ()
        yield table(
            ["Field", "Kind", "Meaning"],
            [
                (
                    code(field) + (" *" if field in required else ""),
                    kind(inner, _schemas()),
                    _meaning(inner if is_request else {}, inner.get("description", "")),
                )
                for field, inner in schema["properties"].items()
            ],
        )


def _meaning(schema: Json, description: str) -> str:
    description = description.replace("********", code("********"))
    default = schema.get("default")
    if default in (None, "", [], {}) or "Default" in description:
        return description
    shown = str(default).lower() if isinstance(default, bool) else default
    return f"{description} Default {code(shown)}.".strip()
