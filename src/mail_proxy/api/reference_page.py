"""Reference of the REST interface as one HTML page, from the OpenAPI document.

It needs no scripts, no network and no other host, and its Content-Security-Policy permits none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

Json = dict[str, Any]
STYLE_PATH = "/docs/style.css"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
h2 { border-bottom: 1px solid var(--line); margin-top: 3rem; }
h3 { margin: 2.5rem 0 .5rem; overflow-wrap: anywhere; }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { background: var(--soft); border-radius: 6px; overflow-x: auto; padding: .8rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .8rem .3rem 0; text-align: left;
  vertical-align: top; }
nav ul { columns: 18rem; padding-left: 1rem; }
.method { border: 1px solid var(--line); border-radius: 4px; font-size: 14px; padding: 0 .4rem; }
.note { opacity: .75; }
"""
_CODE = re.compile(r"`([^`]+)`")
_METHODS_WITH_BODY = ("post", "put")


def page(document: Json) -> str:
    """Return the page. Its links are relative, so that it works under any prefix."""
    return "".join(
        (
            "<!doctype html><html lang=en><head><meta charset=utf-8>",
            '<meta name=viewport content="width=device-width, initial-scale=1">',
            f"<title>{escape(document['info']['title'])}: REST reference</title>",
            f'<link rel=stylesheet href="{STYLE_PATH.removeprefix("/")}"></head><body><main>',
            content(document, "openapi.json"),
            "</main></body></html>",
        )
    )


def content(document: Json, document_path: str) -> str:
    """Return the content of the page, with a link to the OpenAPI document."""
    info = document["info"]
    return "".join(
        (
            f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
            f"<p>{_words(info['description'])} Send the token as <code>X-API-Token</code>. "
            f'<a href="{escape(document_path)}">OpenAPI document</a></p>',
            *_contents(document),
            *_operations(document),
            *_objects(document),
        )
    )


def _by_tag(document: Json) -> dict[str, list[tuple[str, str, Json]]]:
    found: dict[str, list[tuple[str, str, Json]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = next(iter(operation.get("tags", ())), "other")
            found.setdefault(tag, []).append((method, path, operation))
    return found


def _contents(document: Json) -> Iterator[str]:
    yield "<nav>"
    for tag, operations in _by_tag(document).items():
        yield f"<p><strong>{escape(tag)}</strong></p><ul>"
        for method, path, operation in operations:
            anchor = escape(operation["operationId"])
            yield f'<li><a href="#{anchor}">{method.upper()} {escape(path)}</a></li>'
        yield "</ul>"
    yield '<p><a href="#objects">Objects</a></p></nav>'


def _operations(document: Json) -> Iterator[str]:
    for tag, operations in _by_tag(document).items():
        yield f"<h2>{escape(tag.capitalize())}</h2>"
        for method, path, operation in operations:
            yield from _operation(document, method, path, operation)


def _operation(document: Json, method: str, path: str, operation: Json) -> Iterator[str]:
    yield f'<h3 id="{escape(operation["operationId"])}">'
    yield f"<span class=method>{method.upper()}</span> <code>{escape(path)}</code></h3>"
    yield "".join(f"<p>{_words(text)}</p>" for text in operation["description"].split("\n\n"))
    yield f"<p class=note>Token: {escape(operation['x-token'])}</p>"
    parameters = operation.get("parameters", ())
    if parameters:
        rows = [
            (
                f"<code>{escape(p['name'])}</code> ({escape(p['in'])})",
                _type(p["schema"]),
                _words(p.get("description", "")),
            )
            for p in parameters
        ]
        yield _table(("Parameter", "Type", "Meaning"), rows)
    body = _schema(operation.get("requestBody", {}))
    if body:
        yield f"<p>Body: {_type(body)}</p>"
    yield f"<pre>{escape(_call(document, method, path, parameters, body))}</pre>"
    answers = operation["responses"]
    rows = [
        (f"<code>{status}</code>", _type(_schema(answer)), _words(answer["description"]))
        for status, answer in answers.items()
    ]
    yield _table(("Status", "Answer", "Meaning"), rows)


def _call(document: Json, method: str, path: str, parameters: Any, body: Json) -> str:
    """Return a curl line with the examples of the document."""
    for parameter in parameters:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
    lines = [f'curl -X {method.upper()} -H "X-API-Token: $TOKEN" "$URL{path}"']
    name = body.get("$ref", "").rpartition("/")[2]
    if name and method in _METHODS_WITH_BODY:
        example = document["components"]["schemas"][name].get("examples", [{}])[0]
        text = json.dumps(example, indent=2, ensure_ascii=False)
        lines.append(f"  -H 'Content-Type: application/json' -d '{text}'")
    return " \\\n".join(lines)


def _objects(document: Json) -> Iterator[str]:
    yield "<h2 id=objects>Objects</h2>"
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield f'<h3 id="object-{escape(name)}">{escape(name)}</h3>'
        yield f"<p>{_words(schema.get('description', ''))}</p>"
        required = schema.get("required", ())
        rows = [
            (
                f"<code>{escape(field)}</code>{' *' if field in required else ''}",
                _type(described),
                _words(described.get("description", "")),
            )
            for field, described in schema.get("properties", {}).items()
        ]
        if rows:
            yield _table(("Field (* required)", "Type", "Meaning"), rows)


def _schema(holder: Json) -> Json:
    content = holder.get("content", {}).get("application/json", {})
    found: Json = content.get("schema", {})
    return found


def _type(schema: Json) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#object-{name}">{name}</a>'
    for combined in ("anyOf", "allOf", "oneOf"):
        if combined in schema:
            return " or ".join(_type(inner) for inner in schema[combined])
    if "enum" in schema:
        return ", ".join(escape(str(value)) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return escape(str(schema.get("const", schema.get("type", ""))))


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{text}</th>" for text in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _words(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))
