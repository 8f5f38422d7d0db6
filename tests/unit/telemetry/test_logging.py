"""Lines as they are written, of the proxy and of libraries."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import sys
import warnings
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Literal

import orjson
import pytest

from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.telemetry.log import Action, ServiceAction, begin_request, log
from mail_proxy.telemetry.logging import configure_logging

NAMES = ("", "mail_proxy", "uvicorn", "httpx", "httpcore")
SECRET = "hunter2"
Configure = Callable[..., None]


@pytest.fixture
def configure() -> Iterator[Configure]:
    """``configure_logging`` as in a process of the proxy's own, where nobody else has done so;
    afterwards all is as before."""
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [(x, x.level, x.propagate, list(x.handlers)) for x in loggers]
    root, *_ = loggers
    is_first = True

    def set_up(level: str, form: Literal["text", "json"], *hosts: logging.Handler) -> None:
        nonlocal is_first
        if is_first:
            root.handlers[:] = hosts  # pytest has added its own just now
            is_first = False
        configure_logging(level, form)

    yield set_up
    logging.captureWarnings(False)
    sys.excepthook = sys.__excepthook__
    for logger, level, propagate, handlers in before:
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers[:] = handlers


class Stderr:
    """What was written to standard error."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def lines(self) -> list[str]:
        text = self._capsys.readouterr().err
        assert text.endswith("\n")
        return text.removesuffix("\n").split("\n")

    def line(self) -> str:
        (line,) = self.lines()
        return line


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Stderr:
    return Stderr(capsys)


def test_text_is_a_sentence_and_fields(configure: Configure, stderr: Stderr) -> None:
    configure("INFO", "text")
    log(Action.ACCOUNT_HEALED, tenant_id="acme", account_id="the smtp", request_id=None)
    time, level, rest = stderr.line().split(maxsplit=2)
    assert time.endswith("Z")
    assert time[10] == "T"
    assert level == "WARNING"
    assert rest == (
        'Account can be used again action=account.healed tenant_id=acme account_id="the smtp"'
    )


def test_json_has_a_key_for_each_field(configure: Configure, stderr: Stderr) -> None:
    configure("INFO", "json")
    log(Action.REPORT_NOT_FOUND, tenant_id="a\nb", count=2, ids=["x", 'y"'])
    line = json.loads(stderr.line())
    assert line.pop("ts") > 1_700_000_000
    assert line == {
        "level": "warning",
        "action": "report.not_found",
        "message": "Application does not know messages that were reported to it",
        "tenant_id": "a\nb",
        "count": 2,
        "ids": ["x", 'y"'],
    }


def test_lines_below_the_level_are_not_written(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("WARNING", "text")
    log(ServiceAction.PROXY_STOPPED)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "value",
    [
        "a\n2026-01-01T00:00:00.000Z ERROR forged action=x",
        "a\r\nb",
        "a\u2028b\u2029c\u0085d\x0b\x0c\x1c",
        "\x1b[2J\x9b2J\u202egnp",
        'quote" action=forged',
        "a=b",
        "",
        "\udc80",
    ],
)
def test_a_value_cannot_end_its_line_or_make_another_field(
    value: str, configure: Configure, stderr: Stderr
) -> None:
    configure("INFO", "text")
    log(Action.ACCOUNT_HEALED, tenant_id=value, account_id="a")
    line = stderr.line()
    assert line.isprintable()
    assert line.endswith(" account_id=a")
    spelled = line.split(" tenant_id=")[1].removesuffix(" account_id=a")
    if spelled.startswith('"'):
        # The quotation marks at the ends are the only ones that are not escaped.
        assert spelled.endswith('"')
        assert '"' not in spelled[1:-1].replace('\\"', "")
    else:
        assert not set(spelled) & set(' ="')

    configure("INFO", "json")
    log(Action.ACCOUNT_HEALED, tenant_id=value)
    assert orjson.loads(stderr.line())["tenant_id"] == value.replace("\udc80", "?")


def test_values_are_bounded_and_show_no_login_of_a_url(
    configure: Configure, stderr: Stderr
) -> None:
    configure("INFO", "text")
    log(ServiceAction.WORKER_FAILED, reason=f"cannot reach http://ann:{SECRET}@example.org/")
    assert "http://********@example.org/" in stderr.line()
    log(ServiceAction.WORKER_FAILED, reason="x" * 100_000)
    assert len(stderr.line()) < 3000


def test_lines_name_the_request_that_is_handled(configure: Configure, stderr: Stderr) -> None:
    configure("INFO", "text")

    def handle() -> None:
        begin_request("r-1")
        log(ServiceAction.PROXY_STOPPED)
        logging.getLogger("uvicorn.error").error("Exception in ASGI application\n")
        log(Action.MESSAGE_QUEUED, request_id="another", message_id="m")

    copy_context().run(handle)
    log(ServiceAction.PROXY_STOPPED)
    ours, servers, others, nobodys = stderr.lines()
    assert ours.endswith("action=proxy.stopped request_id=r-1")
    assert "action=library.said request_id=r-1 logger=uvicorn.error" in servers
    assert "request_id=another" in others
    assert "r-1" not in others
    assert nobodys.endswith("action=proxy.stopped")


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_is_its_kind_and_places_without_values(
    form: Literal["text", "json"], configure: Configure, stderr: Stderr
) -> None:
    configure("INFO", form)

    def parse(text: str) -> int:
        return int(text)

    try:
        try:
            try:
                parse(SECRET)
            except ValueError as error:
                raise KeyError(SECRET) from error
        except KeyError as error:
            raise DatabaseUnavailable("no connection") from error
    except DatabaseUnavailable as error:
        log(Action.MESSAGE_FAULT, exception=error)
    line = stderr.line()
    assert SECRET not in line
    assert "DatabaseUnavailable: no connection <- KeyError <- ValueError" in line
    assert "unit/telemetry/test_logging.py:" in line
    assert ":parse" in line


def test_an_error_of_the_database_is_its_code(configure: Configure, stderr: Stderr) -> None:
    configure("INFO", "text")
    database = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.IntegrityError) as caught:
        database.execute("CREATE TABLE t (x CHECK (x = 1))").execute("INSERT INTO t VALUES (2)")
    database.close()
    log(ServiceAction.LOOP_FAILED, exception=caught.value, loop="test", seconds=1)
    assert 'error="IntegrityError: SQLITE_CONSTRAINT_CHECK"' in stderr.line()


def test_a_crash_is_a_line(configure: Configure, stderr: Stderr) -> None:
    configure("INFO", "text")
    error = ValueError(SECRET)
    sys.excepthook(ValueError, error, None)
    assert stderr.line().endswith("action=process.crashed error=ValueError")


def test_errors_of_groups_and_of_the_system_are_named(configure: Configure, stderr: Stderr) -> None:
    configure("INFO", "text")
    group = ExceptionGroup(SECRET, [ValueError(SECRET), FileNotFoundError(2, SECRET, SECRET)])
    log(ServiceAction.LOOP_FAILED, exception=group, loop="test", seconds=1)
    line = stderr.line()
    assert SECRET not in line
    assert "ExceptionGroup[ValueError, FileNotFoundError: No such file or directory]" in line


async def test_what_asyncio_says_of_lost_errors_has_no_values(
    configure: Configure, stderr: Stderr
) -> None:
    configure("INFO", "text")
    loop = asyncio.get_running_loop()
    loop.call_exception_handler(
        {
            "message": f"Exception in callback deliver({SECRET!r})",
            "exception": ValueError(SECRET),
            "future": SECRET,
        }
    )
    line = stderr.line()
    assert SECRET not in line
    assert " ERROR " in line
    assert 'logger=asyncio text="Exception in callback deliver" error=ValueError' in line


@pytest.mark.filterwarnings("default")
def test_warnings_are_lines(configure: Configure, stderr: Stderr) -> None:
    configure("INFO", "json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn(f"unclosed <socket {SECRET}>", ResourceWarning, stacklevel=1)
    line = json.loads(stderr.line())
    assert line["logger"] == "py.warnings"
    assert line["text"].endswith("ResourceWarning: unclosed")


def test_libraries_say_no_values(configure: Configure, stderr: Stderr) -> None:
    configure("DEBUG", "text")
    logging.getLogger("psycopg.pool").warning("discarding %r: %s", SECRET, SECRET)
    logging.getLogger("httpx").info("HTTP Request: POST http://secret")
    logging.getLogger("any.other").info("too quiet to be shown")
    assert stderr.line().endswith(
        'Message from a library action=library.said logger=psycopg.pool text="discarding %r: %s"'
    )


def test_the_logging_of_a_host_application_is_left_alone(configure: Configure) -> None:
    its_own = logging.NullHandler()
    configure("INFO", "text", its_own)
    assert logging.getLogger().handlers == [its_own]
    assert sys.excepthook is sys.__excepthook__


def test_a_second_configuration_replaces_the_first(configure: Configure, stderr: Stderr) -> None:
    configure("INFO", "text")
    configure("INFO", "json")
    log(ServiceAction.PROXY_STOPPED)
    logging.getLogger("other").warning("once")
    assert [json.loads(line)["action"] for line in stderr.lines()] == [
        "proxy.stopped",
        "library.said",
    ]
