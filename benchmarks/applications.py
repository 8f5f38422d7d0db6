"""Applications of many tenants that take delivery reports, each in its own way.

The first part of the path says how: /ok/..., /hang/..., /fail/..., /rubbish/... One line a
report on standard output, written before the answer: CLOCK_MONOTONIC in nanoseconds, a blank,
the message id.
"""

import asyncio
import contextlib
import json
import os
import sys
import time

from benchmarks.sinks import RecordingSink

_ANSWERS = {
    "ok": (200, b'{"ok": true}'),
    "fail": (500, b"something broke"),
    "rubbish": (200, b"<html>welcome"),
}


class Applications(RecordingSink):
    """They in a process of their own; knows each message id, and when it was told."""

    _module = "benchmarks.applications"
    _label = "applications"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next(
                int(line.partition(":")[2])
                for line in head.split("\r\n")
                if line.lower().startswith("content-length:")
            )
            body = await reader.readexactly(length)
            way = head.split(" ")[1].split("/")[1]
            if way == "hang":
                await reader.read()
                break
            if way == "ok":
                _record(body)
            status, answer = _ANSWERS[way]
            writer.write(
                b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(answer), answer)
            )
            await writer.drain()
    writer.close()


def _record(body: bytes) -> None:
    now = time.monotonic_ns()
    ids = [report["id"] for report in json.loads(body)["delivery_report"]]
    os.write(1, "".join(f"{now} {id_}\n" for id_ in ids).encode())


async def _main(port: int) -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", port, backlog=1000)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(int(sys.argv[1])))
