"""Operation ``alerts.test``: send a test alert on every configured channel."""

from __future__ import annotations

from mail_proxy.errors import Conflict
from mail_proxy.features.alerts.channels import channels_of
from mail_proxy.kit.ids import uuid7
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.wire.alerts import AlertCall, AlertOut, AlertResult, AlertTestOut

_TEXT = "This is a test alert of the mail proxy. Nothing needs attention because of it."


async def _send(parts: Parts, order: AlertCall) -> AlertTestOut:
    """Send the test alert on one channel after the other, for at most a minute each."""
    results = []
    for channel in channels_of(parts):
        reason = await channel.send(order, parts.clock.now())
        results.append(AlertResult(channel=channel.name, ok=reason is None, detail=reason))
    return AlertTestOut(ok=all(result.ok for result in results), channels=results)


@operation("alerts.test", scope=Scope.ADMIN, mutates=True, then=_send)
def test(context: Context, request: None) -> AlertCall:
    """Send a test alert to `alert_email` and `alert_url`, and say which took it.

    409 if neither is set.
    """
    alerts = context.config.alerts
    if alerts.alert_email is None and alerts.alert_url is None:
        raise Conflict("no alert_email and no alert_url is set")
    shown = AlertOut(id=uuid7(), state="test", code="test", text=_TEXT, since_ts=int(context.now))
    return AlertCall(instance=context.config.name, alerts=[shown])


ALL = (test,)
