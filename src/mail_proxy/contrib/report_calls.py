"""Answers to report calls of the proxy, for views of any web framework."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from mail_proxy.client import BadSignature, Report, verify_reports

_log = logging.getLogger(__name__)


def answer_report_call(
    body: bytes, headers: Mapping[str, str], secret: str, take: Callable[[Report], object]
) -> tuple[int, dict[str, object]]:
    """Check a report call, and give each report to ``take``.

    Returns the HTTP status and the JSON of the answer. ``secret`` is the tenant's
    ``signing_secret``. If ``take`` raises an exception, it is logged and the message's id is
    answered in ``error``: the proxy sends its reports again later, in order. A call with a wrong
    signature gets 401.

    The proxy reports at least once, so ``take`` must accept a report that it has had before.
    """
    try:
        reports = verify_reports(body, headers, secret)
    except BadSignature as error:
        _log.warning("Report call refused: %s", error)
        return 401, {"ok": False, "error": "wrong signature"}
    return 200, {"ok": True, "error": take_reports(reports, take)}


def take_reports(reports: Sequence[Report], take: Callable[[Report], object]) -> list[str]:
    """Give each report to ``take``; return the ids of messages for which it failed.

    After a failure, later reports about the same message are left for the next call.
    """
    failed: dict[str, None] = {}
    for report in reports:
        if report.id in failed:
            continue
        try:
            take(report)
        except Exception:  # noqa: BLE001 - the application's code must not hold up other reports
            _log.exception("Report about message %r could not be processed", report.id)
            failed[report.id] = None
    return list(failed)
