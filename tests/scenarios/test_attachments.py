"""Mails with large attachments, from a web server to a mail server, in bounded memory"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.harness.rig import small_rig

_MB = 1_000_000
#: Ten mails are in flight, and have 270 MB.
_BUDGET = 90 * _MB


class _Files(BaseHTTPRequestHandler):
    """Serves ``/<number>/<octets>``: other content for each number."""

    def do_GET(self) -> None:
        _, number, octets = self.path.split("/")
        self.server.calls.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", octets)
        self.end_headers()
        piece = (number.encode() + b"-") * 20_000
        left = int(octets)
        while left > 0:
            self.wfile.write(piece[:left])
            left -= len(piece)

    def log_message(self, *words: Any) -> None:
        pass


@contextmanager
def serving_files() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    server.calls = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def batch(
    web: ThreadingHTTPServer, count: int, octets: int, *, prefix: str = "m", is_same: bool = False
) -> bytes:
    port = web.server_address[1]
    records = [
        {
            "id": f"{prefix}{number}",
            "from": "ann@example.org",
            "to": ["bob@example.net"],
            "subject": "A large file",
            "attachments": [
                {
                    "filename": "a.bin",
                    "storage_path": f"http://127.0.0.1:{port}/{0 if is_same else number}/{octets}",
                }
            ],
        }
        for number in range(count)
    ]
    return json.dumps({"messages": records}).encode()


@pytest.mark.slow
def test_large_attachments_take_little_memory() -> None:
    settings = {"GMP_ALLOW_PRIVATE_URLS": "127.0.0.0/8", "GMP_ATTACHMENT_TIMEOUT": "300"}
    with serving_files() as web, small_rig(stall_seconds=120) as rig:
        sink = rig.recording_sink()
        with sink, rig.fresh_proxy(sink, settings=settings) as proxy:
            proxy.add_messages(batch(web, 1, 1000), 1)
            rig.wait_accepted(proxy, sink, 1)
            before = proxy.usage().peak_rss_bytes
            proxy.add_messages(batch(web, 12, 20 * _MB, prefix="large"), 12)
            rig.wait_accepted(proxy, sink, 13)
            grown = proxy.usage().peak_rss_bytes - before
    assert grown < _BUDGET, f"{grown / _MB:.0f} MB"


@pytest.mark.slow
def test_many_messages_with_one_file_fetch_it_once() -> None:
    settings = {"GMP_ALLOW_PRIVATE_URLS": "127.0.0.0/8", "GMP_ATTACHMENT_TIMEOUT": "300"}
    with serving_files() as web, small_rig(stall_seconds=120) as rig:
        sink = rig.recording_sink()
        with sink, rig.fresh_proxy(sink, settings=settings) as proxy:
            proxy.add_messages(batch(web, 1000, _MB, is_same=True), 1000)
            rig.wait_accepted(proxy, sink, 1000)
        calls = web.calls  # type: ignore[attr-defined]
    assert len(calls) == 1
