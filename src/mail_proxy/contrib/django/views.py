"""View that takes the report calls of the proxy."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from mail_proxy.client import Report
from mail_proxy.contrib.django import conf
from mail_proxy.contrib.django.signals import delivery_report
from mail_proxy.contrib.report_calls import answer_report_call


@csrf_exempt
@require_POST
def reports(request: HttpRequest) -> HttpResponse:
    """Take a report call, check its signature, and send the signal for each report."""
    status, answer = answer_report_call(
        request.body, request.headers, conf.signing_secret(), _send_signal
    )
    return JsonResponse(answer, status=status)


def _send_signal(report: Report) -> None:
    delivery_report.send(sender=report.event, report=report, event=report.event)
