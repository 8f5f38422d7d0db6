"""Whatever an application answers, reading it raises nothing."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from mail_proxy.wire.reports import SyncAnswer, read_answer

_FIELDS = st.sampled_from(["ok", "queued", "next_sync_after", "error", "not_found", "sent"])
_WORDS = st.sampled_from(["", "m", "false", "12", "\N{SNOWMAN}"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | _WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS, inner),
    max_leaves=10,
)


@given(st.binary())
def test_any_bytes(answer: bytes) -> None:
    found = read_answer(answer)
    assert found is None or isinstance(found, SyncAnswer)


@given(st.dictionaries(_FIELDS, _JSON))
def test_any_values_in_the_known_fields(answer: dict[str, Any]) -> None:
    for form in (answer, orjson.dumps(answer)):
        found = read_answer(form)
        assert found is not None
        assert found.ok is (answer.get("ok") is not False)
        assert found.queued >= 0
