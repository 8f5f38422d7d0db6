"""Errors of the client: the classes of the service by their code."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from mail_proxy import errors
from mail_proxy.client.errors import NoAnswer, error_of
from mail_proxy.client.retries import Attempts, Retries


def answer(status: int, body: Any, **headers: str) -> httpx.Response:
    return httpx.Response(
        status, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.MailProxyError)
    ],
)
def test_each_code_of_the_service_makes_its_class(kind: type[errors.MailProxyError]) -> None:
    body = {"ok": False, "error": "some words", "code": kind.code, "detail": {"a": 1}}
    error = error_of(answer(kind.http_status, body, x_request_id="r-1"))
    assert type(error) is kind
    assert (str(error), error.message, error.detail) == ("some words", "some words", {"a": 1})
    assert error.__notes__ == ["request id r-1"]


def test_the_seconds_of_retry_after_are_those_of_the_header() -> None:
    error = error_of(answer(429, {"code": "too_many", "error": "wait"}, retry_after="7"))
    assert isinstance(error, errors.TooManyRequests)
    assert error.retry_after_seconds == 7


@pytest.mark.parametrize(
    ("status", "kind"), [(418, errors.RequestError), (507, errors.MailProxyError)]
)
def test_an_unknown_code_keeps_its_name(status: int, kind: type[Exception]) -> None:
    error = error_of(answer(status, {"error": "of tomorrow", "code": "new_code"}))
    assert (type(error), error.code, error.message) == (kind, "new_code", "of tomorrow")
    assert errors.RequestError.code == "bad_request"


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"", b'{"error": null}'])
def test_an_answer_of_another_program_is_an_error_with_the_status(body: bytes) -> None:
    error = error_of(httpx.Response(502, content=body))
    assert type(error) is errors.MailProxyError
    assert "502" in error.message


def busy(code: str, **headers: str) -> httpx.Response:
    return answer(503, {"error": "busy", "code": code}, **headers)


def test_pauses_grow_up_to_the_longest_and_then_the_call_fails() -> None:
    attempts = Attempts(Retries(6, first_pause_seconds=1.0, longest_pause_seconds=4.0), True)
    pauses = [attempts.pause_after_answer(busy("unavailable")) or 0.0 for _ in range(5)]
    for pause, longest in zip(pauses, (1.0, 2.0, 4.0, 4.0, 4.0), strict=True):
        assert longest / 2 <= pause <= longest
    with pytest.raises(errors.DatabaseUnavailable):
        attempts.pause_after_answer(busy("unavailable"))


def test_retry_after_is_respected_unless_it_is_too_long() -> None:
    attempts = Attempts(Retries(longest_pause_seconds=10.0), True)
    assert attempts.pause_after_answer(busy("unavailable", retry_after="9")) == 9.0
    with pytest.raises(errors.DatabaseUnavailable):
        attempts.pause_after_answer(busy("unavailable", retry_after="11"))


def test_a_call_that_may_have_been_carried_out_is_repeated_only_if_that_does_no_harm() -> None:
    lost, refused = httpx.ReadTimeout("lost"), httpx.ConnectError("refused")
    assert Attempts(Retries(), True).pause_after_loss(lost, "GET /") > 0
    assert Attempts(Retries(), False).pause_after_loss(refused, "POST /tenant") > 0
    assert Attempts(Retries(), False).pause_after_answer(busy("too_busy"))
    with pytest.raises(NoAnswer, match="POST /tenant: lost; the service may have carried it out"):
        Attempts(Retries(), False).pause_after_loss(lost, "POST /tenant")
    with pytest.raises(errors.DatabaseUnavailable):
        Attempts(Retries(), False).pause_after_answer(busy("unavailable"))
