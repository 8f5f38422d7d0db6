"""A limit a minute, four dispatchers, and a backlog behind it."""

import base64
import contextlib
import secrets
import time
from typing import Any

import psycopg
from tests.harness import messages
from tests.harness.sinks import wait_for

from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure

_DISPATCHERS = 4
_LIMIT = 100
_WINDOW_SECONDS = 60.0
_MESSAGES = 1000


def rate_limit(bench: Bench) -> list[Figure]:
    url = bench.postgres().new_database()
    shared = {
        "MAIL_PROXY_ENCRYPTION_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "GMP_API_TOKEN": secrets.token_urlsafe(32),
    }
    seconds = bench.options.limit_seconds
    with bench.recording_sink() as sink, contextlib.ExitStack() as stack:
        proxies = [
            stack.enter_context(bench.proxy(database_url=url, settings=shared))
            for _ in range(_DISPATCHERS)
        ]
        proxies[0].add_account(sink.port, limit_per_minute=_LIMIT)
        for number, body in messages.calls("limit", _MESSAGES, bench.options.size_bytes):
            proxies[0].add_messages(body, number)
        # The server tells of what a connection wrote up to a second later. A message is three rows.
        wait_for(lambda: _writes(url), 3 * _MESSAGES, stall_seconds=10)
        before = _writes(url)
        time.sleep(seconds)
        written = _writes(url) - before
        for proxy in proxies:
            proxy.check_alive()
        moments = sorted(sink.moments())
        sent = len(moments)
        return [
            Figure("accepted", sent, "messages", note=f"in {seconds:.0f} s"),
            Figure("most in any 60 s", _most_in_a_window(moments), "messages", Bound("<=", _LIMIT)),
            Figure("copies", len(sink.copies()), "messages", Bound("=", 0)),
            Figure("rows written", written, "rows", note="inserted, updated or deleted"),
            Figure("rows written per accepted message", written / max(sent, 1), "rows"),
        ]


def _most_in_a_window(moments: list[float]) -> int:
    first, most = 0, 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - _WINDOW_SECONDS:
            first += 1
        most = max(most, last - first + 1)
    return most


def _writes(url: str) -> int:
    statement = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables"
    with psycopg.connect(url, autocommit=True) as connection:
        row: Any = connection.execute(statement).fetchone()
    return int(row[0])
