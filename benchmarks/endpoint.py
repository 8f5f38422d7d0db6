"""An application's sync endpoint: it acknowledges every delivery report.

One line a call on standard output: how many reports there have been so far.
"""

import asyncio
import contextlib
import json
import os
import sys

from benchmarks.processes import Process
from benchmarks.sinks import REPOSITORY, ServerProcess

_BODY = b'{"ok":true}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


class Endpoint(ServerProcess):
    """The endpoint in a process of its own."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self) -> int:
        """Reports acknowledged so far."""
        lines = self._output.read_text().split()
        return int(lines[-1]) if lines else 0

    def _launch(self) -> Process:
        with self._output.open("wb") as output:
            return self._children.start(
                "sync endpoint",
                [sys.executable, "-m", "benchmarks.endpoint", str(self.port)],
                cwd=REPOSITORY,
                stdout=output,
            )


async def _serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            reports = json.loads(await reader.readexactly(length))["delivery_report"]
            _seen.append(_seen[-1] + len(reports))
            os.write(1, b"%d\n" % _seen[-1])
            writer.write(_ANSWER % (len(_BODY), _BODY))
    writer.close()


_seen = [0]


async def _serve(port: int) -> None:
    server = await asyncio.start_server(_serve_one, "127.0.0.1", port, limit=2**24)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(int(sys.argv[1])))
