"""A web server for attachments of any size, and the messages that name them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Settings of a service that may fetch from here, however slow the machine is.
SETTINGS = {"GMP_ALLOW_PRIVATE_URLS": "127.0.0.0/8", "GMP_ATTACHMENT_TIMEOUT": "300"}


class MadeFiles(ThreadingHTTPServer):
    """Serves ``/<number>/<octets>``: other content for each number."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[str] = []

    def batch(self, count: int, octets: int, *, prefix: str = "m", is_same: bool = False) -> bytes:
        """Return a call with messages that have one attachment each."""
        port = self.server_address[1]
        records = [
            {
                "id": f"{prefix}{number}",
                "from": "ann@example.org",
                "to": ["bob@example.net"],
                "subject": "A large file",
                "attachments": [
                    {
                        "filename": "a.bin",
                        "storage_path": f"http://127.0.0.1:{port}"
                        f"/{0 if is_same else number}/{octets}",
                    }
                ],
            }
            for number in range(count)
        ]
        return json.dumps({"messages": records}).encode()


class _Handler(BaseHTTPRequestHandler):
    server: MadeFiles

    def do_GET(self) -> None:
        _, number, octets = self.path.split("/")
        self.server.calls.append(self.path)
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
def serving_files() -> Iterator[MadeFiles]:
    """Serve until the end of the block."""
    server = MadeFiles()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
