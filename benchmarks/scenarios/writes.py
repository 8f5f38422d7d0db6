"""What PostgreSQL has to write for a message, stage by stage."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import psycopg

from benchmarks.bench import Bench
from benchmarks.endpoint import Endpoint
from benchmarks.figures import Figure
from benchmarks.proxy import Proxy
from benchmarks.sinks import SmtpSink, wait_for

_WARM_UP_MESSAGES = 100
_COUNTERS_LATE_SECONDS = 11  # an idle session hands in its last ones after ten
_LOOK = """
SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn,
       (SELECT wal_records FROM pg_stat_wal), (SELECT wal_fpi FROM pg_stat_wal),
       (SELECT sum(n_tup_ins) FROM pg_stat_user_tables),
       (SELECT sum(n_tup_upd) FROM pg_stat_user_tables),
       (SELECT sum(n_tup_del) FROM pg_stat_user_tables),
       (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
       (SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables)
"""


@dataclass(frozen=True)
class _Look:
    """PostgreSQL's own counters, and processor time."""

    wal_bytes: int
    wal_records: int
    page_images: int
    inserted: int
    updated: int
    deleted: int
    commits: int
    size_bytes: int
    server_cpu_seconds: float
    proxy_cpu_seconds: float


def writes(bench: Bench) -> list[Figure]:
    """Intake with sending suspended, then delivery, then reports: each one alone."""
    total = bench.options.messages
    server = bench.postgres()
    url = server.new_database()
    with bench.smtp_sink() as sink, bench.proxy(database_url=url) as proxy:
        proxy.add_account(sink.port)
        _warm_up(bench, proxy, sink)
        looks = [_look(bench, proxy, url)]

        def stage(act: Callable[[], None]) -> None:
            act()
            looks.append(_look(bench, proxy, url))

        proxy.suspend()
        body = _varied_text(bench.options.size_bytes, random.Random(bench.options.seed))
        stage(lambda: bench.queue(proxy, "writes", total, body=body))
        stage(lambda: _deliver(bench, proxy, sink, total))
        with Endpoint(bench.children, bench.new_directory("endpoint")) as endpoint:
            stage(lambda: _report(bench, proxy, endpoint, total + _WARM_UP_MESSAGES))
    names = ["intake", "delivery", "reports"]
    pairs = pairwise(looks)
    figures = [_figures(name, *pair, total) for name, pair in zip(names, pairs, strict=True)]
    grown = (looks[-1].size_bytes - looks[0].size_bytes) / total
    return [
        *(figure for group in figures for figure in group),
        *_figures("all stages", looks[0], looks[-1], total),
        Figure("database size per message", grown, "bytes"),
    ]


def _varied_text(size_bytes: int, chance: random.Random) -> str:
    """Compresses about as far as prose does: PostgreSQL compresses rows of 2 kB and more."""
    vocabulary = [
        "".join(chance.choices("aeiounrstlmdcp", k=chance.randint(2, 9))) for _ in range(2000)
    ]
    words = " ".join(chance.choices(vocabulary, k=size_bytes))
    return "\n".join(words[at : at + 75] for at in range(0, size_bytes, 76))


def _warm_up(bench: Bench, proxy: Proxy, sink: SmtpSink) -> None:
    bench.queue(proxy, "warm", _WARM_UP_MESSAGES)
    bench.wait_accepted(proxy, sink, sink.count() + _WARM_UP_MESSAGES)
    proxy.wait_until_idle(bench.options.stall_seconds)


def _deliver(bench: Bench, proxy: Proxy, sink: SmtpSink, total: int) -> None:
    proxy.activate()
    bench.wait_accepted(proxy, sink, _WARM_UP_MESSAGES + total)
    proxy.wait_until_idle(bench.options.stall_seconds)


def _report(bench: Bench, proxy: Proxy, endpoint: Endpoint, total: int) -> None:
    proxy.report_to(endpoint.url)
    wait_for(endpoint.count, total, stall_seconds=bench.options.stall_seconds)


def _look(bench: Bench, proxy: Proxy, url: str) -> _Look:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_sleep(%s)", [_COUNTERS_LATE_SECONDS])
        row: Any = connection.execute(_LOOK).fetchone()
    server_cpu_seconds = bench.postgres().usage().cpu_seconds
    counters = (int(value) for value in row)
    return _Look(*counters, server_cpu_seconds, proxy.usage().cpu_seconds)  # type: ignore[call-arg]


def _figures(stage: str, before: _Look, after: _Look, total: int) -> list[Figure]:
    def each(name: str) -> float:
        return float(getattr(after, name) - getattr(before, name)) / total

    rows = ", ".join(f"{each(name):.2f} {name}" for name in ("inserted", "updated", "deleted"))
    records = f"{each('wal_records'):.1f} records, {each('page_images'):.2f} full pages"
    return [
        Figure(
            f"{stage}: rows written",
            each("inserted") + each("updated") + each("deleted"),
            "rows",
            note=rows,
        ),
        Figure(f"{stage}: WAL", each("wal_bytes"), "bytes", note=records),
        Figure(f"{stage}: commits", 1000 * each("commits"), "per 1000"),
        Figure(f"{stage}: the proxy's CPU", 1e6 * each("proxy_cpu_seconds"), "us"),
        Figure(f"{stage}: PostgreSQL's CPU", 1e6 * each("server_cpu_seconds"), "us"),
    ]
