"""Many accounts with a few messages each, so that nearly each of them opens a session."""

import json
from collections.abc import Iterator
from contextlib import suppress

from tests.harness import messages
from tests.harness.errors import HarnessError

from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure

_MESSAGES_EACH = 5


def many_accounts(bench: Bench) -> list[Figure]:
    accounts = bench.options.accounts
    total = accounts * _MESSAGES_EACH
    with bench.smtp_sink() as sink, bench.fresh_proxy() as proxy:
        with suppress(HarnessError):  # older commits have no such limit
            quota = {"max_accounts": accounts}
            proxy.request("PUT", "/tenant/default", json.dumps(quota).encode())
        for number in range(accounts):
            record = {"id": f"a{number}", "host": "127.0.0.1", "port": sink.port, "tls": "none"}
            proxy.request("POST", "/account", json.dumps(record).encode())
        begun, before = bench.calibration.begin(), proxy.usage().cpu_seconds
        for count, body in _calls(accounts, bench.options.size_bytes):
            proxy.add_messages(body, count)
        ended = bench.wait_accepted(proxy, sink, total)
        proxy.wait_until_idle(bench.options.stall_seconds)
        usage = proxy.usage()
        sent = len(set(proxy.ids_with_status("sent")))
    return [
        Figure(f"{accounts} accounts", total / (ended - begun), "messages/s"),
        *bench.cpu("CPU per message of many accounts", usage.cpu_seconds - before, total, begun),
        Figure("peak RSS with many accounts", usage.peak_rss_bytes / 2**20, "MiB"),
        Figure("distinct ids of them with status sent", sent, "", Bound("=", total)),
    ]


def _calls(accounts: int, size_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Calls with a message for each of 1000 accounts, until each account has its messages."""
    body = messages.body_text(size_bytes)
    pairs = [(f"a{a}", n) for n in range(_MESSAGES_EACH) for a in range(accounts)]
    for first in range(0, len(pairs), messages.CALL_LIMIT):
        records = [
            {
                "id": f"{account}-{number}",
                "account_id": account,
                "from": "Benchmark <bench@example.com>",
                "to": [f"{account}@example.org"],
                "subject": f"Message {number} of {account}",
                "body": body,
            }
            for account, number in pairs[first : first + messages.CALL_LIMIT]
        ]
        yield len(records), json.dumps({"messages": records}).encode()
