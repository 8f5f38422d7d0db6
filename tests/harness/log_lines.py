"""What the service has written to its log."""

from __future__ import annotations

from typing import Any

import pytest

from mail_proxy.telemetry.log import Entry


def lines(caplog: pytest.LogCaptureFixture, action: str | None = None) -> list[dict[str, Any]]:
    """The fields of the lines so far: of those with this action, or of all and then with it."""
    entries = [record.msg for record in caplog.records if isinstance(record.msg, Entry)]
    if action is None:
        return [{"action": entry.action.word, **entry.fields} for entry in entries]
    return [entry.fields for entry in entries if entry.action.word == action]
