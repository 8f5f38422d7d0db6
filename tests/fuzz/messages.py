"""add-messages with whatever JSON can say: no 5xx, and what is accepted is stored.

    python -m tests.fuzz.messages --calls 2000 --database postgresql

Exit code 1 when an answer is wrong, or when the database holds another set of messages than the
one that the answers told of.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections import Counter
from typing import Any

import httpx
import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from sqlalchemy import select
from tests.fuzz.service import TENANT, Target, serving

from mail_proxy.sql import SqlDb
from mail_proxy.sql.schema import message

_TEXT = st.text(max_size=40)
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=5,
)
_ADDRESS = st.sampled_from(
    ["a@example.org", "Ann <a@example.org>", "ü@example.org", "a@münchen.example", "a@", "", "\r\n"]
)
_RECIPIENTS = st.lists(_ADDRESS, max_size=3) | _ADDRESS | _JSON
_HEADER_LINES = st.sampled_from(
    [
        *(
            "From: a@example.org",
            "To: b@example.net, x: c@d;",
            "Bcc: e@f",
            "Subject: =?utf-8?q?=C3",
        ),
        *(
            "Date: now",
            "Message-ID: <a@b>",
            " folded",
            "To: (",
            "",
            "no colon",
            "From: ü@example.org",
        ),
    ]
)
_RAW = st.lists(_HEADER_LINES, max_size=8).map(
    lambda lines: base64.b64encode("\r\n".join(["From: a@b.example", *lines]).encode()).decode()
)
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "from": _ADDRESS | _JSON,
    "to": _RECIPIENTS,
    "subject": _TEXT | _JSON,
    "cc": _RECIPIENTS,
    "bcc": _RECIPIENTS,
    "reply_to": _RECIPIENTS,
    "return_path": _ADDRESS | _JSON,
    "message_id": st.sampled_from(["<a@b>", "a@b", "<>"]) | _JSON,
    "body": _TEXT | _JSON,
    "content_type": st.sampled_from(["plain", "html"]) | _JSON,
    "body_html": _TEXT | _JSON,
    "headers": st.dictionaries(_TEXT, _TEXT, max_size=3) | _JSON,
    "priority": st.integers(-1, 4) | st.sampled_from(["high", "HIGH"]) | _JSON,
    "deferred_ts": st.integers() | st.floats() | _JSON,
    "expires_ts": st.integers() | st.floats() | _JSON,
    "batch_code": _TEXT | _JSON,
    "attachments": _JSON,
    "tenant_id": st.sampled_from([TENANT, "default", "nobody"]) | _JSON,
    "account_id": st.sampled_from(["a", "nobody"]) | _JSON,
    "raw": _RAW | st.text("AQYZ=+/-", max_size=12) | _JSON,
    "unheard_of": _JSON,
}
_GOOD = st.fixed_dictionaries(
    {
        "id": st.text(max_size=8) | st.sampled_from(["m1", "m2", "m3"]),
        "from": st.just("a@example.org"),
        "to": st.just("b@example.net"),
        "subject": _TEXT,
    }
)
_CHANGES = st.lists(st.sampled_from(sorted(_FIELDS)), max_size=3, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: _FIELDS[name] for name in names})
)
_PARTS = st.builds(lambda good, changes: {**good, **changes}, _GOOD, _CHANGES)
_WHOLE = st.builds(
    lambda good, octets, to: {"id": good["id"], "raw": octets, **to},
    *(_GOOD, _RAW, st.sampled_from([{}, {"to": "b@example.net"}, {"to": []}, {"from": "x"}])),
)
_MESSAGE = _PARTS | _PARTS | _PARTS | _WHOLE


def _is_usual(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("id"), str)


_BATCH = st.lists(
    _MESSAGE | _MESSAGE | _MESSAGE | _JSON,
    max_size=6,
    unique_by=lambda m: m["id"] if _is_usual(m) else id(m),
)


class Fuzz:
    """Remembers what the service said it had stored."""

    def __init__(self, target: Target) -> None:
        self._target = target
        headers = {"X-API-Token": target.tenant_key, "Content-Type": "application/json"}
        self._http = httpx.Client(base_url=target.url, headers=headers, timeout=60, trust_env=False)
        self.statuses: Counter[int] = Counter()
        self.accepted: set[str] = set()

    def call(self, records: list[Any], rest: dict[str, Any]) -> None:
        # Escapes bring in what UTF-8 cannot say: halves of surrogate pairs.
        body = json.dumps({**rest, "messages": records}).encode()
        response = self._http.post("/commands/add-messages", content=body)
        self.statuses[response.status_code] += 1
        assert response.status_code in (200, 400, 403, 422), response.text
        answer = response.json()
        if response.status_code != 200:
            assert answer["ok"] is False
            return
        rejected = {r["id"] for r in answer["rejected"]}
        results = answer["queued"] + len(answer["duplicates"]) + len(answer["rejected"])
        assert results == len(records)
        self.accepted |= {r["id"] for r in records if _is_usual(r)} - rejected

    def stored(self) -> set[str]:
        url = self._target.database
        db = SqlDb(url if "://" in url else f"sqlite:///{url}")
        try:
            return set(db.read_now(lambda c: c.execute(select(message.c.id)).scalars().all()))
        finally:
            db.dispose()


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--calls", type=int, default=2000)
    options.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    with serving(chosen.database) as target:
        fuzz = Fuzz(target)
        priority = st.fixed_dictionaries({"default_priority": st.integers(0, 3) | _JSON})
        rest = st.just({}) | st.just({}) | st.just({}) | priority

        @hypothesis.seed(chosen.seed)
        @hypothesis.settings(
            max_examples=chosen.calls,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(_BATCH, rest)
        def run(records: list[Any], rest: dict[str, Any]) -> None:
            fuzz.call(records, rest)

        run()
        stored = fuzz.stored()
    by_status = ", ".join(f"{s}: {n}" for s, n in sorted(fuzz.statuses.items()))
    total = sum(fuzz.statuses.values())
    print(f"{total} calls on {chosen.database}. {by_status}")
    print(f"accepted {len(fuzz.accepted)} messages, stored {len(stored)}")
    return 0 if stored == fuzz.accepted else 1


if __name__ == "__main__":
    sys.exit(main())
