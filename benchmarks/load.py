"""Many clients that each post one message at a time, in a process of their own.

Raw HTTP/1.1 over kept connections with prepared requests: a full HTTP client would cost
more processor time than the server that is measured. Takes a JSON job on standard input,
prints a JSON result.
"""

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from tests.harness import messages
from tests.harness.errors import HarnessError
from tests.harness.processes import Children
from tests.harness.sinks import REPOSITORY


@dataclass(frozen=True)
class Job:
    port: int
    token: str
    prefix: str
    clients: int
    calls: int
    size_bytes: int


@dataclass(frozen=True)
class Outcome:
    seconds: float
    latencies_ms: list[float]
    failures: list[str]


def run_job(children: Children, job: Job, *, limit_seconds: float) -> Outcome:
    process = children.start(
        "load generator",
        [sys.executable, "-m", "benchmarks.load"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        answer, _ = process.communicate(json.dumps(asdict(job)).encode(), timeout=limit_seconds)
    except subprocess.TimeoutExpired as error:
        raise HarnessError(f"{job.calls} calls took over {limit_seconds:.0f} s") from error
    finally:
        children.kill(process)
    if process.returncode != 0:
        raise HarnessError("the load generator failed")
    return Outcome(**json.loads(answer))


def _request(job: Job, number: int) -> bytes:
    body = messages.call(job.prefix, number, 1, job.size_bytes)
    head = (
        "POST /commands/add-messages HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{job.port}\r\n"
        f"X-API-Token: {job.token}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
    return head, await reader.readexactly(int(length))


def _queued(head: bytes, body: bytes) -> bool:
    return head.startswith(b"HTTP/1.1 200") and b'"queued":1' in body.replace(b" ", b"")


async def _client(job: Job, requests: list[bytes], outcome: Outcome) -> None:
    """Takes requests from the list that all clients share until none is left."""
    reader, writer = await asyncio.open_connection("127.0.0.1", job.port)
    while requests:
        request = requests.pop()
        started = time.monotonic()
        writer.write(request)
        head, body = await _answer(reader)
        outcome.latencies_ms.append((time.monotonic() - started) * 1000)
        if not _queued(head, body):
            outcome.failures.append((head.split(b"\r\n")[0] + b" " + body[:200]).decode())
    writer.close()


async def _run(job: Job) -> Outcome:
    requests = [_request(job, number) for number in reversed(range(job.calls))]
    outcome = Outcome(0, [], [])
    started = time.monotonic()
    await asyncio.gather(*(_client(job, requests, outcome) for _ in range(job.clients)))
    return Outcome(time.monotonic() - started, outcome.latencies_ms, outcome.failures[:5])


def main() -> None:
    job = Job(**json.load(sys.stdin))
    try:
        import uvloop
    except ImportError:
        outcome = asyncio.run(_run(job))
    else:
        outcome = uvloop.run(_run(job))
    json.dump(asdict(outcome), sys.stdout)


if __name__ == "__main__":
    main()
