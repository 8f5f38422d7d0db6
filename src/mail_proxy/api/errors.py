"""Error answers ``{"ok": false, "error", "code", "detail"}``.

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

from mail_proxy.errors import (
    DatabaseUnavailable,
    MailProxyError,
    NoSuchRoute,
    RequestError,
    TooManyRequests,
    WrongMethod,
)
from mail_proxy.telemetry.log import Action, log
from mail_proxy.wire.mistakes import (
    NO_OBJECT,
    Mistake,
    malformed,
    mistake,
    mistakes_of,
    not_json,
    without_surrogates,
)

_LONGEST_SHOWN_VALUE = 200
# Also matches blanks and slashes: better hide too much than show a password.
_LOGIN_IN_URL = re.compile(r"//.*@", re.DOTALL)
_NO_OBJECT = ("missing", "model_attributes_type", "model_type")
_JSON_HEADER = "Content-Type: application/json"
_KINDS: dict[int, type[RequestError]] = {404: NoSuchRoute, 405: WrongMethod}
_TEXTS = {
    NoSuchRoute: "no such path; /docs lists all",
    WrongMethod: "this path does not take the method; see the header Allow",
}
_SECRET_WORDS = ("password", "token", "secret", "auth", "key", "config")


def install(app: FastAPI, routes: Sequence[Route]) -> None:
    """Register the error handlers; ``routes`` give the methods that a 405 lists."""
    app.add_exception_handler(MailProxyError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(ValidationError, invalid)
    app.add_exception_handler(HTTPException, partial(_http, routes))
    app.add_exception_handler(Exception, _unexpected)


def answer(
    kind: type[MailProxyError] | MailProxyError,
    error: str,
    detail: Any = None,
    *,
    retry_after: int = 0,
) -> Response:
    """Build the answer for a ``kind`` of error.

    ``retry_after`` is in seconds, 0 for none.
    """
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    record = {"ok": False, "error": error, "code": kind.code, "detail": detail}
    body = orjson.dumps(record)
    return Response(body, kind.http_status, headers, media_type="application/json")


async def known(request: Request, error: Exception) -> Response:
    """Build the answer for an error that the proxy raised on purpose."""
    assert isinstance(error, MailProxyError)
    return answer_to(error)


def answer_to(error: BaseException) -> Response:
    """Build the answer for an error, and log it if it is not the caller's."""
    if not isinstance(error, MailProxyError):
        log(Action.REQUEST_FAILED, exception=error)
        return answer(MailProxyError, "internal error")
    if isinstance(error, TooManyRequests):
        return answer(error, error.message, retry_after=error.retry_after_seconds)
    if isinstance(error, DatabaseUnavailable):
        log(Action.REQUEST_UNAVAILABLE, reason=error.message)
        wait = error.retry_after_seconds
        return answer(error, error.summary, retry_after=wait)
    if error.http_status == 503:
        return answer(error, error.message, retry_after=1)
    if error.http_status >= 500:
        log(Action.REQUEST_FAILED, exception=error)
        return answer(MailProxyError, "internal error")
    response = answer(error, error.message, error.detail)
    if error.http_status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, 11.6.1
    if error.http_status == 415:
        response.headers["Accept-Encoding"] = "identity"  # RFC 9110, 15.5.16
    return response


async def invalid(request: Request, error: Exception) -> Response:
    """Build the answer for a request without the documented form."""
    assert isinstance(error, RequestValidationError | ValidationError)
    found = list(error.errors())
    if isinstance(error, RequestValidationError):
        found = [{**e, "loc": _inside(e["loc"])} for e in found]
    body = getattr(request.scope.get("route"), "body_field", None)
    model = None if body is None else body.field_info.annotation
    wrong = _of_body(found) or mistakes_of(found, model, _value)
    wrong = [{**m, "field": m["field"] or "body"} for m in wrong]
    refused = malformed(*wrong)
    return answer(refused, refused.message, refused.detail)


def _inside(location: Sequence[Any]) -> Sequence[Any]:
    """Return a mistake's place without "body" or "query".

    A value of a query that is given several times has no number.
    """
    return location[1:2] if location[0] == "query" else location[1:]


def _of_body(errors: Sequence[Any]) -> list[Mistake]:
    """Return the mistake of a body that is no JSON object."""
    for error in errors:
        if error["type"] == "json_invalid":
            return [mistake("body", not_json(error["loc"][-1]))]
        if not error["loc"] and error["type"] in _NO_OBJECT:
            is_json = not isinstance(error["input"], bytes)
            return [mistake("body", NO_OBJECT if is_json else f"{NO_OBJECT}, with {_JSON_HEADER}")]
    return []


def _value(error: Any) -> Any:
    location, value = [str(part) for part in error["loc"]], error.get("input")
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
        refused = malformed(mistake("body", "is not JSON in UTF-8"))
        return answer(refused, refused.message, refused.detail)
    kind = getattr(error, "kind", None)
    if kind is None:
        kind = _KINDS.get(error.status_code, RequestError)
    response = answer(kind, _TEXTS.get(kind) or str(error.detail))
    response.status_code = error.status_code
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
    response = answer_to(error)
    response.headers["X-Request-ID"] = _id_of(request)
    return response


def _id_of(request: Request) -> str:
    return getattr(request.state, "request_id", "-")
