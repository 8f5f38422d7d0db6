"""Why an unfinished message waits."""

from __future__ import annotations

from typing import Any

import pytest

from mail_proxy.domain.waiting import Pause, Surroundings, Wait, WaitReason, why_waiting

NOW = 1000.0
FREE: dict[str, Any] = {"active": True, "dispatching": True}
PAUSED = {**FREE, "pause": Pause(NOW + 60, "535 no")}
LIMITED = {**FREE, "limited_until": NOW + 30}


@pytest.mark.parametrize(
    ("state", "due_at", "around", "expected"),
    [
        ("sending", NOW, {**FREE, "active": False}, Wait(WaitReason.IN_FLIGHT)),
        ("pending", NOW, FREE, Wait(WaitReason.QUEUE)),
        ("deferred", NOW, FREE, Wait(WaitReason.QUEUE)),
        ("pending", NOW + 5, FREE, Wait(WaitReason.SCHEDULED, NOW + 5)),
        ("deferred", NOW + 5, FREE, Wait(WaitReason.RETRY, NOW + 5, "later")),
        ("pending", NOW, {**PAUSED, "active": False}, Wait(WaitReason.TENANT_INACTIVE)),
        ("pending", NOW, {**PAUSED, "dispatching": False}, Wait(WaitReason.STOPPED)),
        ("pending", NOW, {**PAUSED, "suspended": ["b"]}, Wait(WaitReason.SUSPENDED, detail="b")),
        ("pending", NOW, {**FREE, "suspended": ["*"]}, Wait(WaitReason.SUSPENDED, detail="*")),
        ("pending", NOW, {**FREE, "suspended": ["c"]}, Wait(WaitReason.QUEUE)),
        ("deferred", NOW + 60, PAUSED, Wait(WaitReason.ACCOUNT_PAUSED, NOW + 60, "535 no")),
        ("pending", NOW + 61, PAUSED, Wait(WaitReason.SCHEDULED, NOW + 61)),
        (
            "pending",
            NOW,
            {**FREE, "pause": Pause(NOW - 1, "535 no")},
            Wait(WaitReason.ACCOUNT_PAUSED, NOW, "535 no"),
        ),
        ("pending", NOW, LIMITED, Wait(WaitReason.RATE_LIMIT, NOW + 30)),
        ("pending", NOW + 5, LIMITED, Wait(WaitReason.SCHEDULED, NOW + 5)),
    ],
)
def test_the_reason_is_the_one_to_be_mended_first(
    state: str, due_at: float, around: dict[str, Any], expected: Wait
) -> None:
    assert why_waiting(state, due_at, "b", "later", Surroundings(**around), NOW) == expected
