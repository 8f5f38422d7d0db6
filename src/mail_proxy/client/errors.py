"""Errors of the client: those of the service by code, and of the connection."""

from __future__ import annotations

from typing import Any

import httpx

from mail_proxy import errors
from mail_proxy.errors import MailProxyError, RequestError, TooManyRequests

_LONGEST_WORDS = 500
_BY_CODE: dict[str, type[MailProxyError]] = {
    found.code: found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, MailProxyError)
}


class NoAnswer(MailProxyError):
    """The service could not be reached, or its answer cannot be understood."""

    code = "no_answer"


class BadSignature(MailProxyError):
    """A report call is not from the proxy, or older than five minutes."""

    code = "bad_signature"


def error_of(response: httpx.Response) -> MailProxyError:
    """Return the error that an answer with an error status stands for.

    Its class is the one in ``mail_proxy.errors`` with the answer's ``code``. A code that this
    version does not know makes a RequestError (4xx) or a MailProxyError, which has the code. The
    request id is a note of the error.
    """
    answer = _answer(response)
    code, words = answer.get("code"), answer.get("error")
    is_callers = response.is_client_error
    kind = _BY_CODE.get(str(code), RequestError if is_callers else MailProxyError)
    # Without the class's own __init__, whose arguments are those of the service.
    error = kind.__new__(kind)
    text = str(words or f"the service answered {response.status_code}")[:_LONGEST_WORDS]
    MailProxyError.__init__(error, text, answer.get("detail"))
    if code is not None and kind.code != code:
        error.code = str(code)  # type: ignore[misc]
    if isinstance(error, TooManyRequests):
        error.retry_after_seconds = round(retry_after(response) or 0)
    if request_id := response.headers.get("x-request-id"):
        error.add_note(f"request id {request_id}")
    return error


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of the header ``Retry-After``, or None without one."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def code_of(response: httpx.Response) -> str:
    """Return the ``code`` of an error's answer, or an empty text."""
    return str(_answer(response).get("code") or "")


def _answer(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
