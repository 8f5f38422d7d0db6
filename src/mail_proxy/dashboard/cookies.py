"""Cookies of the dashboard: the session, and the seal of forms before one."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

ROOT = "/ui"
SESSION_COOKIE, FORM_COOKIE = "gmp_ui", "gmp_ui_form"
_LENGTH = 43


def cookie_of(request: Request, name: str) -> str | None:
    """Return a cookie, or None if there is none that can be ours."""
    value = request.cookies.get(name, "")
    return value if len(value) == _LENGTH and value.isascii() else None


def set_session(response: Response, request: Request, secret: str, hours: float) -> Response:
    """Give the browser the cookie of its session, and return the response."""
    set_cookie(response, request, SESSION_COOKIE, secret, int(hours * 3600))
    return forget(response, request, FORM_COOKIE)


def set_cookie(
    response: Response, request: Request, name: str, value: str, seconds: int | None = None
) -> Response:
    """Set a cookie that scripts and other sites cannot use.

    Without ``seconds`` it ends with the browser.
    """
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=_path(request),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


def forget(response: Response, request: Request, name: str) -> Response:
    """Let the browser forget a cookie, and return the response."""
    response.delete_cookie(
        name,
        path=_path(request),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


def _path(request: Request) -> str:
    return str(request.scope.get("root_path", "")) + ROOT
