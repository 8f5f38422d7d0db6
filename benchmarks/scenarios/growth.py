"""How the cost of a message grows with its size, its recipients, and the number of tenants."""

import json
import time
from dataclasses import dataclass
from typing import Any

from benchmarks import messages
from benchmarks.bench import Bench
from benchmarks.figures import Figure
from benchmarks.proxy import ACCOUNT, Proxy
from benchmarks.sinks import SmtpSink

_CALL_BYTES = 20_000_000


@dataclass(frozen=True)
class _Load:
    label: str
    #: Of `--messages`.
    share: float
    size_bytes: int = 2048
    recipients: int = 1
    tenants: int = 1


_LOADS = [
    _Load("1 kB", 0.5, size_bytes=1_000),
    _Load("10 kB", 0.5, size_bytes=10_000),
    _Load("100 kB", 0.1, size_bytes=100_000),
    _Load("1 MB", 0.01, size_bytes=1_000_000),
    _Load("1 recipient", 0.5),
    _Load("10 recipients", 0.25, recipients=10),
    _Load("100 recipients", 0.05, recipients=100),
    _Load("1 tenant", 0.5),
    _Load("100 tenants", 0.5, tenants=100),
]


def growth(bench: Bench) -> list[Figure]:
    figures: list[Figure] = []
    with bench.smtp_sink() as sink:
        for load in _LOADS:
            with bench.fresh_proxy() as proxy:
                figures += _measured(bench, proxy, sink, load)
    return figures


def _measured(bench: Bench, proxy: Proxy, sink: SmtpSink, load: _Load) -> list[Figure]:
    total = max(load.tenants, round(bench.options.messages * load.share))
    total -= total % load.tenants
    tenants = [_tenant(proxy, sink, number) for number in range(load.tenants)]
    calls = [call for name in tenants for call in _calls(load, name, total // load.tenants)]
    target = sink.count() + total
    before = proxy.usage().cpu_seconds
    started = time.monotonic()
    for number, body in calls:
        proxy.add_messages(body, number)
    seconds = bench.wait_accepted(proxy, sink, target) - started
    proxy.wait_until_idle(bench.options.stall_seconds)
    cpu_seconds = proxy.usage().cpu_seconds - before
    return [
        Figure(f"{load.label}: CPU per message", cpu_seconds / total * 1e6, "us"),
        Figure(
            f"{load.label}: end to end", total / seconds, "messages/s", note=f"{total} messages"
        ),
    ]


def _tenant(proxy: Proxy, sink: SmtpSink, number: int) -> str:
    name = f"tenant{number}"
    proxy.request("POST", "/tenant", json.dumps({"id": name}).encode())
    proxy.add_account(sink.port, tenant_id=name)
    return name


def _calls(load: _Load, tenant: str, total: int) -> list[tuple[int, bytes]]:
    fields: dict[str, Any] = {"tenant_id": tenant, "account_id": ACCOUNT}
    if load.recipients > 1:
        fields["to"] = [f"user{number}@example.org" for number in range(load.recipients)]
    step = min(messages.CALL_LIMIT, max(1, _CALL_BYTES // load.size_bytes))
    counts = [(first, min(step, total - first)) for first in range(0, total, step)]
    return [
        (count, messages.call("grow", first, count, load.size_bytes, **fields))
        for first, count in counts
    ]
