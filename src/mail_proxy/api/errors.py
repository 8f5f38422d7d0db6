"""Error answers ``{"ok": false, "error", "detail"}``.

They contain no secrets, paths and traces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from mail_proxy.errors import DatabaseUnavailable, MailProxyError, TooManyRequests
from mail_proxy.telemetry.log import Action, log
from mail_proxy.wire.fields import (
    NO_OBJECT,
    detail_of,
    field_name,
    mistake,
    unknown_field,
    without_surrogates,
)

_LONGEST_SHOWN_VALUE = 200
# Also matches blanks and slashes: better hide too much than show a password.
_LOGIN_IN_URL = re.compile(r"//.*@", re.DOTALL)
_NO_OBJECT = ("missing", "model_attributes_type", "model_type")
_JSON_HEADER = "Content-Type: application/json"
_SECRET_WORDS = ("password", "token", "secret", "auth", "key", "config")


def install(app: FastAPI, routes: Sequence[Route]) -> None:
    """Register the error handlers; ``routes`` give the methods that a 405 lists."""
    app.add_exception_handler(MailProxyError, known)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(ValidationError, malformed)
    app.add_exception_handler(HTTPException, partial(_http, routes))
    app.add_exception_handler(Exception, _unexpected)


def answer(status: int, error: str, detail: Any = None, *, retry_after: int = 0) -> Response:
    """Build an error answer; ``retry_after`` is in seconds, 0 for none."""
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    body = orjson.dumps({"ok": False, "error": error, "detail": detail})
    return Response(body, status, headers, media_type="application/json")


async def known(request: Request, error: Exception) -> Response:
    """Build the answer for an error that the proxy raised on purpose."""
    assert isinstance(error, MailProxyError)
    if isinstance(error, TooManyRequests):
        return answer(429, error.message, retry_after=error.retry_after_seconds)
    if isinstance(error, DatabaseUnavailable):
        log(Action.REQUEST_UNAVAILABLE, reason=error.message)
        wait = error.retry_after_seconds
        return answer(503, error.summary, retry_after=wait)
    if error.http_status == 503:
        return answer(503, error.message, retry_after=1)
    if error.http_status >= 500:
        log(Action.REQUEST_FAILED, exception=error)
        return answer(500, "internal error")
    response = answer(error.http_status, error.message, error.detail)
    if error.http_status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, 11.6.1
    if error.http_status == 415:
        response.headers["Accept-Encoding"] = "identity"  # RFC 9110, 15.5.16
    return response


async def malformed(request: Request, error: Exception) -> Response:
    """Build the answer for a request without the documented form."""
    assert isinstance(error, RequestValidationError | ValidationError)
    detail = detail_of(error.errors(), _field_error)
    first = detail[0]
    return answer(422, f"{first['field']}: {first['message']}", detail)


def _field_error(error: Any) -> dict[str, Any]:
    location = [str(part) for part in error["loc"] if part not in ("body", "query", "path")]
    field = field_name(location) or "body"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "json_invalid":
        place = f"{error['ctx']['error']} at character {error['loc'][-1]}"
        return mistake("body", f"is not JSON: {place}")
    if not location and error["type"] in _NO_OBJECT:
        is_json = not isinstance(error["input"], bytes)
        return mistake("body", NO_OBJECT if is_json else f"{NO_OBJECT}, with {_JSON_HEADER}")
    if error["type"] == "extra_forbidden":
        # The value may be a secret under a mistyped name.
        name = field.rpartition(".")[2]
        return {"field": field, "message": unknown_field(name), "value": None}
    return {"field": field, "message": message, "value": _value(location, error.get("input"))}


def _value(location: Sequence[str], value: Any) -> Any:
    if not location:
        # The body as a whole: it may contain anything.
        return None
    if any(word in part.lower() for part in location for word in _SECRET_WORDS):
        return "********"
    if isinstance(value, str):
        if _LOGIN_IN_URL.search(value):
            return "********"
        return without_surrogates(value[:_LONGEST_SHOWN_VALUE])
    shown = isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63)
    return value if shown else None


async def _http(routes: Sequence[Route], request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:
        # FastAPI answers 400 for a body that it cannot decode.
        detail = mistake("body", "is not JSON in UTF-8")
        return answer(422, f"body: {detail['message']}", [detail])
    response = answer(error.status_code, str(error.detail).lower())
    response.headers.update(error.headers or {})
    if error.status_code == 405:
        # The framework names what its first route of the path takes; there may be several.
        here = [r for r in routes if r.matches(request.scope)[0] is not Match.NONE]
        methods = {method for route in here for method in route.methods or ()}
        methods |= {"HEAD"} if "GET" in methods else set()
        response.headers["Allow"] = ", ".join(sorted(methods)) or response.headers["Allow"]
    return response


async def _unexpected(request: Request, error: Exception) -> Response:
    # Starlette raises the error again behind this answer, and the server logs it as well. The
    # answer goes past the middleware that puts the request's id on all others.
    log(Action.REQUEST_FAILED, exception=error)
    response = answer(500, "internal error")
    response.headers["X-Request-ID"] = _id_of(request)
    return response


def _id_of(request: Request) -> str:
    return getattr(request.state, "request_id", "-")
