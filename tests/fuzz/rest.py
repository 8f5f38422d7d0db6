"""Calls of every route, made from the served OpenAPI document, good ones and bad ones.

    python -m tests.fuzz.rest --calls 10000 --database postgresql

No answer may be a 5xx, or anything but what the document says. Exit code 1 when one is.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from typing import Any
from urllib.parse import quote

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.fuzz.service import TENANT, Target, serving

_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
#: Things that exist, so that calls reach more than 404.
_KNOWN_IDS = st.sampled_from([TENANT, "a", "default", "m1", "1", "2"])
_KNOWN_TENANTS = st.sampled_from([TENANT, "default"])
#: The account test would go out to hosts that were made up, and what delivers nothing is not ready.
_SKIPPED = {("POST", "/account/{id}/test"), ("GET", "/ready")}
_SETTINGS = ("default_priority", "max_enqueue_batch", "max_body_mb")


@schemathesis.serializer("application/x-ndjson")
def _as_text(_context: Any, value: Any) -> bytes:
    return str(value).encode(errors="replace")


class Fuzz:
    """Counts what was answered, by status."""

    def __init__(self, target: Target, calls: int, seed: int) -> None:
        self._target = target
        self._seed = seed
        # trust_env off: a proxy meant for the outside world must not see these calls.
        self._session = requests.Session()
        self._session.trust_env = False
        self._schema = schemathesis.openapi.from_dict(target.call("GET", "/openapi.json").json())
        found = [r.ok() for r in self._schema.get_all_operations()]
        self._operations = [o for o in found if (o.method.upper(), o.path) not in _SKIPPED]
        kinds = len(self._operations) * 4
        self._examples = -(-calls // kinds)
        self.statuses: Counter[int] = Counter()
        self.failures: list[str] = []

    def run(self) -> None:
        for token in (self._target.admin, self._target.tenant_key):
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                for operation in self._operations:
                    self._operation(operation, token, mode)
                    self._restore()

    def _operation(self, operation: Any, token: str, mode: GenerationMode) -> None:
        @hypothesis.seed(self._seed)
        @hypothesis.settings(
            max_examples=self._examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(mode), data=st.data())
        def call(case: Any, data: st.DataObject) -> None:
            self._aim(case, data)
            self._call(case, token)

        label = f"{operation.method.upper()} {operation.path} ({mode.value})"
        try:
            call()
        except hypothesis.errors.Unsatisfiable:
            pass  # nothing about this route can be wrong
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            self.failures.append(f"{label}\n{error}")

    def _aim(self, case: Any, data: st.DataObject) -> None:
        parameters = case.path_parameters or {}
        if "id" in parameters and data.draw(st.booleans()):
            parameters["id"] = quote(data.draw(_KNOWN_IDS), safe="")
        if "tenant_id" in (case.query or {}) and data.draw(st.booleans()):
            case.query["tenant_id"] = data.draw(_KNOWN_TENANTS)

    def _call(self, case: Any, token: str) -> None:
        mine = f"/tenant/{TENANT}"
        if case.method.upper() != "GET" and (case.formatted_path or "").startswith(mine):
            return  # its key is what half of the calls are made with
        response = case.call(
            base_url=self._target.url,
            session=self._session,
            headers={"X-API-Token": token},
            timeout=60,
        )
        self.statuses[response.status_code] += 1
        case.validate_response(response, checks=_CHECKS)

    def _restore(self) -> None:
        """So that a small limit of one call is not the answer to all that follow."""
        self._target.call("PUT", "/instance", {"settings": dict.fromkeys(_SETTINGS)})


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--calls", type=int, default=10_000)
    options.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    with serving(chosen.database) as target:
        fuzz = Fuzz(target, chosen.calls, chosen.seed)
        fuzz.run()
    total = sum(fuzz.statuses.values())
    by_status = ", ".join(f"{s}: {n}" for s, n in sorted(fuzz.statuses.items()))
    print(f"{total} calls on {chosen.database}, {len(fuzz.failures)} failures. {by_status}")
    for failure in fuzz.failures:
        print(f"\n{failure}")
    return 1 if fuzz.failures else 0


if __name__ == "__main__":
    sys.exit(main())
