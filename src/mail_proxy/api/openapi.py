"""The OpenAPI document: FastAPI's, completed with errors, tokens and examples."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from mail_proxy.api.deps import Route, Token
from mail_proxy.api.examples import EXAMPLES, PARAMETERS, PATH_IDS

Json = dict[str, Any]
_SCHEMAS = "#/components/schemas/"
_NOT_OURS = ("HTTPValidationError", "ValidationError")
_STATUSES = {
    400: "No message in the request is valid.",
    401: "No token, or one that is unknown, expired or revoked.",
    403: "The token does not reach this resource, whether it exists or not.",
    404: "The resource does not exist.",
    408: "The body did not arrive in time.",
    409: "The resource's current state does not allow this, or several tenants have this id.",
    413: "The body or the batch is too large.",
    415: "A Content-Encoding or Content-Type that is not understood.",
    422: "Malformed: `detail` lists field, message and value of every mistake.",
    429: "Too many failed log-ins from this address.",
    431: "The headers are too large.",
    503: "The service is starting, or the database is unavailable.",
}
_MAY_BE_REPEATED = (429, 503)
#: Paths of single things that an administrator reads without naming the tenant.
_OF_ANY_TENANT = ("/messages/{", "/account/{")
_ERROR: Json = {
    "title": "Error",
    "description": "The form of every error answer.",
    "type": "object",
    "required": ["ok", "error", "code", "detail"],
    "properties": {
        "ok": {"const": False, "type": "boolean", "description": "Always false."},
        "error": {"type": "string", "description": "The reason, in words."},
        "code": {"type": "string", "description": "Stable name of the error, for programs."},
        "detail": {"description": "Details; for 422 a list of field, message and value."},
    },
    "examples": [
        {
            "ok": False,
            "error": "host: required",
            "code": "malformed",
            "detail": [{"field": "host", "message": "required", "value": None}],
        }
    ],
}
_HEADERS: Json = {
    "RequestId": {
        "description": "The caller's X-Request-ID, or a generated one.",
        "schema": {"type": "string"},
    },
    "RetryAfter": {
        "description": "Seconds to wait before the next try.",
        "schema": {"type": "integer", "minimum": 1},
    },
}


def install(app: FastAPI, routes: Iterable[Route], models: Iterable[type[BaseModel]]) -> None:
    """Replace the app's document; ``models`` are bodies that routes read themselves."""
    plain = app.openapi
    by_path = {(r.path_format, m.lower()): r for r in routes for m in r.methods or ()}

    def openapi() -> Json:
        if app.openapi_schema is None:
            document = plain()
            _complete_schemas(document, models)
            for path, methods in document["paths"].items():
                for method, operation in methods.items():
                    _complete(operation, by_path[path, method], path, method)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _operation_id(route: Route) -> str:
    """Return the name of a route's function in clients generated from the document."""
    return "_".join([*map(str, route.tags), route.name]).replace(" ", "_")


def _complete_schemas(document: Json, models: Iterable[type[BaseModel]]) -> None:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for model in models:
        schema = model.model_json_schema(ref_template=_SCHEMAS + "{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    for name in _NOT_OURS:
        schemas.pop(name, None)
    for name, schema in schemas.items():
        if name in EXAMPLES:
            schema["examples"] = [EXAMPLES[name]]
    schemas["Error"] = _ERROR
    components["headers"] = _HEADERS


def _complete(operation: Json, route: Route, path: str, method: str) -> None:
    operation["operationId"] = _operation_id(route)
    operation["x-token"] = str(route.token)
    operation["summary"] = re.split(r"[.;](?:\s|$)", operation["description"], maxsplit=1)[0]
    for parameter in operation.get("parameters", ()):
        of_whom = path.split("/")[1] if parameter["in"] == "path" else ""
        own = parameter["schema"].pop("examples", [None])[0]
        parameter["example"] = own or PATH_IDS.get(of_whom) or PARAMETERS[parameter["name"]]
    answers = operation["responses"]
    answers.pop("422", None)
    for status in sorted(_possible(operation, route, path, method)):
        content = {"application/json": {"schema": {"$ref": f"{_SCHEMAS}Error"}}}
        own = answers.get(str(status), {}).get("content", {})  # such as a page in HTML
        answers[str(status)] = {"description": _STATUSES[status], "content": {**own, **content}}
    for status, answer in answers.items():
        headers = {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}}
        if int(status) in _MAY_BE_REPEATED:
            headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
        answer["headers"] = headers


def _possible(operation: Json, route: Route, path: str, method: str) -> Iterator[int]:
    yield from (422, 431)
    if path != "/health":
        yield 503
    if path == "/commands/add-messages":
        yield 400
    if route.token is not Token.NONE:
        yield from (401, 403, 429)
    if route.token is Token.TENANT or "{" in path:
        yield 404
    if method != "get":
        yield from (404, 409)
    elif path.startswith(_OF_ANY_TENANT):
        yield 409
    if "requestBody" in operation:
        yield from (408, 413, 415)
