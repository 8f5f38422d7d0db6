"""Reports and answers as JSON."""

from __future__ import annotations

from typing import Any

import pytest

from mail_proxy.wire.reports import SyncAnswer, read_answer, report_entry, report_payload

WHO = {"tenant_id": "t", "id": "m", "pk": "0190", "account_id": "a"}
PEOPLE = [{"address": "a@b.example", "status": "failed"}]


@pytest.mark.parametrize(
    ("event_type", "data", "fields"),
    [
        ("sent", {}, {"sent_ts": 1800000000}),
        ("sent", {"recipients": PEOPLE}, {"sent_ts": 1800000000, "recipients": PEOPLE}),
        ("sent", {"recipients": None, "internal": 1}, {"sent_ts": 1800000000}),
        (
            "error",
            {"error": "no such user", "code": 550, "recipients": PEOPLE},
            {
                "error_ts": 1800000000,
                "error": "no such user",
                "code": 550,
                "recipients": PEOPLE,
            },
        ),
        ("error", {"error": "gone"}, {"error_ts": 1800000000, "error": "gone", "code": None}),
        (
            "deferred",
            {"retry_ts": 1800000060.9, "deferred_reason": "busy", "uncertain": True},
            {
                "deferred_ts": 1800000000,
                "retry_ts": 1800000060,
                "deferred_reason": "busy",
            },
        ),
        ("deferred", {}, {"deferred_ts": 1800000000, "retry_ts": None, "deferred_reason": None}),
        (
            "bounce",
            {
                "bounce_type": "hard",
                "bounce_code": "5.1.1",
                "bounce_reason": "unknown",
                "bounce_recipient": "a@b.example",
                "bounce_category": "unknown_user",
                "internal": 1,
            },
            {
                "bounce_ts": 1800000000,
                "bounce_type": "hard",
                "bounce_code": "5.1.1",
                "bounce_reason": "unknown",
                "bounce_recipient": "a@b.example",
                "bounce_category": "unknown_user",
            },
        ),
        (
            "pec_delivery",
            {"recipient": "a@pec.example", "identifier": "opec1"},
            {
                "pec_event": "pec_delivery",
                "pec_ts": 1800000000,
                "pec_details": {"recipient": "a@pec.example", "identifier": "opec1"},
                "recipient": "a@pec.example",
            },
        ),
        ("greeting", {"from": "x", "id": 7}, {"greeting_ts": 1800000000, "from": "x"}),
    ],
)
def test_each_event_has_its_fields(
    event_type: str, data: dict[str, Any], fields: dict[str, Any]
) -> None:
    entry = report_entry(**WHO, event_type=event_type, event_at=1800000000.987, data=data)
    assert entry == {**WHO, **fields}
    assert report_payload([entry]) == {"delivery_report": [entry]}
    assert report_payload([]) == {"delivery_report": []}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("{}", SyncAnswer()),
        ('{"sent": 12, "error": 1}', SyncAnswer()),
        ('{"ok": null}', SyncAnswer()),
        ('{"ok": 0}', SyncAnswer()),
        ('{"ok": "false"}', SyncAnswer()),
        (
            '{"ok": false, "queued": 1}',
            SyncAnswer(ok=False, queued=1, failure="the application answered ok: false"),
        ),
        ('{"queued": 4}', SyncAnswer(queued=4)),
        ('{"queued": 2.9}', SyncAnswer(queued=2)),
        ('{"queued": -4}', SyncAnswer()),
        ('{"queued": true}', SyncAnswer()),
        ('{"queued": "4"}', SyncAnswer()),
        ('{"queued": 1e999}', SyncAnswer()),
        ('{"next_sync_after": 1800000000}', SyncAnswer(next_sync_after=1800000000)),
        ('{"next_sync_after": 0}', SyncAnswer(next_sync_after=0)),
        ('{"next_sync_after": -1}', SyncAnswer()),
        ('{"next_sync_after": NaN}', SyncAnswer()),
        ('{"next_sync_after": Infinity}', SyncAnswer()),
        ('{"next_sync_after": "tomorrow"}', SyncAnswer()),
        ('{"next_sync_after": %s}' % ("9" * 400), SyncAnswer()),
        ('{"error": ["m", 7, true, null, {}]}', SyncAnswer(error=("m", "7"))),
        ('{"error": "m"}', SyncAnswer(failure="the application answered with an error")),
        ('{"error": {"m": 1}}', SyncAnswer(failure="the application answered with an error")),
        ('{"not_found": ["m"], "other": {"deep": []}}', SyncAnswer(not_found=("m",))),
        ('{"not_found": 3}', SyncAnswer()),
    ],
)
def test_slips_in_an_answer_count_as_missing(text: str, answer: SyncAnswer) -> None:
    assert read_answer(text.encode()) == answer


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"12", b'"ok"', b"{", b"\xff", b"[" * 9999])
def test_what_is_no_json_object_is_no_answer(text: bytes) -> None:
    assert read_answer(text) is None


def test_a_callable_answers_with_a_dictionary_or_nothing() -> None:
    assert read_answer(None) == SyncAnswer()
    assert read_answer({"queued": 1}) == SyncAnswer(queued=1)
    assert read_answer(["ok"]) is None  # type: ignore[arg-type]
