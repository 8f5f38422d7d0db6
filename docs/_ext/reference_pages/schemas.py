"""Describes JSON schemas in words."""

from __future__ import annotations

from typing import Any

from reference_pages.markdown import code

Json = dict[str, Any]
_PREFIX = "#/components/schemas/"
_WORDS = {"string": "text", "boolean": "true or false", "object": "object", "null": "null"}


def kind(schema: Json, schemas: Json) -> str:
    """Describe the allowed values of a schema as Markdown, with links to objects."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_PREFIX)
        target = schemas[name]
        return _values(target["enum"]) if "enum" in target else f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind(inner, schemas) for inner in schema["anyOf"]))
    if "enum" in schema:
        return _values(schema["enum"])
    return _plain(schema, schemas)


def _plain(schema: Json, schemas: Json) -> str:
    type_ = schema.get("type")
    if type_ == "array":
        if schema.get("maxItems") == 0:
            return "empty list"
        return f"list of {kind(schema.get('items', {}), schemas)}"
    if type_ in ("integer", "number"):
        return " ".join(
            filter(None, (type_, _bounds(schema.get("minimum"), schema.get("maximum"))))
        )
    if type_ == "string":
        length = _bounds(schema.get("minLength"), schema.get("maxLength"))
        return f"text, {length} characters" if length else "text"
    return _WORDS.get(str(type_), "any")


def _bounds(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"{least:.15g}-{most:.15g}"
    if least is not None:
        return f"from {least:.15g}"
    return "" if most is None else f"up to {most:.15g}"


def _values(values: list[Any]) -> str:
    return ", ".join(code(value) for value in values)
