"""Mails with attachments: rate, memory, and CPU beside that of plain base64."""

import binascii
import time

from tests.harness import messages
from tests.harness.made_files import SETTINGS, serving_files
from tests.harness.proxy import ProxyProcess
from tests.harness.sinks import Sink

from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure

_MB = 1_000_000
_LARGE = 20 * _MB
_AT_ONCE = 10
#: Beyond what the process had before: buffers of ten sessions, and attachment_memory_mb.
_MOST_MB = 90
_PIECE = 114_000


def attachments(bench: Bench) -> list[Figure]:
    return [*_one_file(bench), *_large_files(bench)]


def _one_file(bench: Bench) -> list[Figure]:
    total = bench.options.attachment_messages
    with bench.smtp_sink() as sink, bench.fresh_proxy(sink) as proxy:
        body = messages.call("plain", 0, total, bench.options.size_bytes)
        plain = _Load(bench, proxy, sink, body, total)
    with serving_files() as web, bench.smtp_sink() as sink:
        with bench.fresh_proxy(sink, settings=SETTINGS) as proxy:
            load = _Load(bench, proxy, sink, web.batch(total, _MB, is_same=True), total)
        fetches = len(web.calls)
    return [
        Figure("without attachment", total / plain.seconds, "messages/s"),
        Figure("with the same 1 MB", total / load.seconds, "messages/s", note=f"{total} messages"),
        Figure("fetches of it", fetches, "", Bound("=", 1)),
        Figure("CPU a MB sent", load.cpu_seconds / total * 1e3, "ms"),
        Figure("memory above idle, 1 MB each", load.grown_mb, "MB", Bound("<=", _MOST_MB)),
    ]


def _large_files(bench: Bench) -> list[Figure]:
    count = bench.options.large_attachments
    settings = {**SETTINGS, "GMP_MAX_CONCURRENT_SENDS": str(_AT_ONCE)}
    with serving_files() as web, bench.smtp_sink() as sink:
        with bench.fresh_proxy(sink, settings=settings) as proxy:
            proxy.add_messages(web.batch(1, 1000, prefix="first"), 1)
            bench.wait_accepted(proxy, sink, 1)
            load = _Load(bench, proxy, sink, web.batch(count, _LARGE), count)
    sent_mb = count * _LARGE / _MB
    plain = _base64_seconds() * sent_mb
    return [
        Figure("with 20 MB each", sent_mb / load.seconds, "MB/s", note=f"{count} messages"),
        Figure("memory above idle, 20 MB each", load.grown_mb, "MB", Bound("<=", _MOST_MB)),
        Figure("CPU a MB fetched and sent", load.cpu_seconds / sent_mb * 1e3, "ms"),
        Figure("plain base64 of a MB", plain / sent_mb * 1e3, "ms"),
        Figure("ratio of both", load.cpu_seconds / plain, ""),
    ]


def _base64_seconds() -> float:
    """Return the CPU time of base64 of one MB, in pieces that fit into the caches."""
    piece, rounds = bytes(range(256)) * (_PIECE // 256), 2000
    begun = time.thread_time()
    for _ in range(rounds):
        binascii.b2a_base64(piece, newline=False)
    return (time.thread_time() - begun) / (len(piece) * rounds / _MB)


class _Load:
    """Messages of one call, measured from its begin to their acceptance."""

    def __init__(
        self, bench: Bench, proxy: ProxyProcess, sink: Sink, body: bytes, total: int
    ) -> None:
        earlier, before = sink.count(), proxy.usage()
        begun = time.monotonic()
        proxy.add_messages(body, total)
        self.seconds = bench.wait_accepted(proxy, sink, earlier + total) - begun
        after = proxy.usage()
        self.cpu_seconds = after.cpu_seconds - before.cpu_seconds
        self.grown_mb = (after.peak_rss_bytes - before.rss_bytes) / _MB
