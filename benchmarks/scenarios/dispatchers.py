"""Two proxies, as on two hosts, on one PostgreSQL."""

import base64
import secrets
import time

from tests.harness import messages
from tests.harness.proxy import ProxyProcess

from benchmarks.bench import Bench
from benchmarks.figures import Figure
from benchmarks.scenarios.throughput import arrivals

_LATE_COPY_SECONDS = 2.0


def two_dispatchers(bench: Bench) -> list[Figure]:
    url = bench.postgres().new_database()
    # Hosts that share a database share its key and its token.
    shared = {
        "MAIL_PROXY_ENCRYPTION_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "GMP_API_TOKEN": secrets.token_urlsafe(32),
    }
    total = bench.options.dispatcher_messages
    with (
        bench.recording_sink() as sink,
        bench.proxy(database_url=url, settings=shared) as first,
        bench.proxy(database_url=url, settings=shared) as second,
    ):
        first.add_account(sink.port)
        started = time.monotonic()
        _queue_in_turn(bench, [first, second], total)
        ended = bench.wait_accepted(first, sink, total)
        first.wait_until_idle(bench.options.stall_seconds)
        time.sleep(_LATE_COPY_SECONDS)
        return [
            Figure("two dispatchers, end to end", total / (ended - started), "messages/s"),
            *arrivals(sink, total),
            *_shares([first, second], total),
        ]


def _queue_in_turn(bench: Bench, proxies: list[ProxyProcess], total: int) -> None:
    for turn, (number, body) in enumerate(messages.calls("two", total, bench.options.size_bytes)):
        proxies[turn % len(proxies)].add_messages(body, number)


def _shares(proxies: list[ProxyProcess], total: int) -> list[Figure]:
    counts = [proxy.sent_by_this_instance() for proxy in proxies]
    return [
        Figure(f"sent by dispatcher {number}", 100 * count / total, "%")
        for number, count in enumerate(counts, start=1)
        if count is not None
    ]
