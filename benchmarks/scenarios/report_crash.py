"""kill -9 between the application's 200 and the commit that acknowledges its reports.

The moment is certain, not likely: while the application answers, another connection keeps the
database from being written to; the proxy logs that it has the answer; then it is killed.
"""

import contextlib
import json
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from benchmarks import messages
from benchmarks.bench import Bench
from benchmarks.errors import BenchmarkError
from benchmarks.figures import Bound, Figure
from benchmarks.proxy import Proxy
from benchmarks.sinks import wait_for

_ANSWER = b'{"ok": true}'
_HAS_ANSWER = b"action=report.sent"
_SECRET = "whsec_" + "YmVuY2htYXJrIGJlbmNobWFyayBiZW5jaG1hcms="


def report_crash(bench: Bench) -> list[Figure]:
    kills = bench.options.report_kills
    url, home = bench.new_database(), bench.new_directory("home")
    proxy = bench.proxy(home=home, database_url=url)
    ids = [messages.mail_id("told", number) for number in range(kills)]
    with bench.recording_sink() as sink, Application() as application, proxy:
        proxy.add_account(sink.port)
        tenant = {"client_base_url": application.url, "signing_secret": _SECRET}
        proxy.request("PUT", "/tenant/default", json.dumps(tenant).encode())
        with _lock(url, home) as lock:
            again = [_one(bench, proxy, application, lock, number) for number in range(kills)]
        waiting = [id_ for id_ in ids if not _acknowledged(proxy, id_)]
    told = {id_: application.calls_of(id_) for id_ in ids}
    times = [len(calls) for calls in told.values()]
    renamed = sum(len(set(calls)) > 1 for calls in told.values())
    return [
        Figure("kills", kills, note="each between answer and acknowledgement"),
        Figure("reports lost", times.count(0), "reports", Bound("=", 0)),
        Figure("not acknowledged in the end", len(waiting), "reports", Bound("=", 0)),
        Figure("told once only", times.count(1), "reports", Bound("=", 0), "a kill came late"),
        Figure("told more than twice", sum(n > 2 for n in times), "reports"),
        Figure("told again under another id", renamed, "reports", Bound("=", 0)),
        Figure("ready to told again", statistics.median(again), "s", Bound("<=", 5), runs=again),
    ]


class Application:
    """Acknowledges every report, after whatever ``before_answer`` does with its ids."""

    def __init__(self) -> None:
        self.before_answer: Callable[[list[str]], None] = lambda ids: None
        self._calls: list[tuple[list[str], str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def calls_of(self, mail_id: str) -> list[str]:
        """The webhook-id of each call that told of this message."""
        return [name for ids, name in list(self._calls) if mail_id in ids]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _took(self, body: bytes, name: str) -> None:
        ids = [report["id"] for report in json.loads(body)["delivery_report"]]
        self._calls.append((ids, name))
        self.before_answer(ids)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        took = self._took

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                took(body, self.headers["webhook-id"])
                self.send_response(200)
                self.send_header("Content-Length", str(len(_ANSWER)))
                self.end_headers()
                self.wfile.write(_ANSWER)

            def log_message(self, *_: object) -> None:
                """What matters is in the proxy's log."""

        return Handler


class _Lock:
    """Keeps events from being acknowledged while it is held. Used from several threads."""

    def __init__(self, connection: Any, statements: tuple[str, ...]) -> None:
        self._connection = connection
        self._statements = statements

    def take(self) -> None:
        for statement in self._statements:
            self._connection.execute(statement)

    def release(self) -> None:
        self._connection.execute("ROLLBACK")


@contextlib.contextmanager
def _lock(url: str | None, home: Path) -> Iterator[_Lock]:
    if url is None:
        (file,) = home.rglob("*.db")
        with contextlib.closing(
            sqlite3.connect(file, 30, isolation_level=None, check_same_thread=False)
        ) as lite:
            yield _Lock(lite, ("BEGIN IMMEDIATE",))
        return
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        yield _Lock(connection, ("BEGIN", "LOCK TABLE message_event IN SHARE MODE"))


def _one(bench: Bench, proxy: Proxy, application: Application, lock: _Lock, number: int) -> float:
    """Seconds from the new process being ready to the second telling."""
    mail_id = messages.mail_id("told", number)

    def hold(ids: list[str]) -> None:
        if mail_id in ids:
            lock.take()

    application.before_answer = hold
    read_from = proxy.log.stat().st_size
    proxy.add_messages(messages.call("told", number, 1, 500), 1)
    _until(bench, proxy, lambda: _HAS_ANSWER in proxy.log.read_bytes()[read_from:])
    proxy.kill()
    application.before_answer = lambda ids: None
    lock.release()
    proxy.start()
    ready = time.monotonic()
    try:
        _until(bench, proxy, lambda: len(application.calls_of(mail_id)) > 1)
        seconds = time.monotonic() - ready
        _until(bench, proxy, lambda: _acknowledged(proxy, mail_id))
    except BenchmarkError:
        proxy.check_alive()
        return time.monotonic() - ready  # what did not happen shows in the other figures
    return seconds


def _until(bench: Bench, proxy: Proxy, condition: Callable[[], bool]) -> None:
    wait_for(
        lambda: int(condition()),
        1,
        stall_seconds=bench.options.stall_seconds,
        alive=proxy.check_alive,
    )


def _acknowledged(proxy: Proxy, mail_id: str) -> bool:
    events = proxy.request("GET", f"/messages/{mail_id}/events")["events"]
    told = [event["reported_ts"] for event in events if event["event_type"] != "queued"]
    return bool(told) and all(told)
