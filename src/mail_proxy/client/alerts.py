"""Calls about alerts to a person."""

from __future__ import annotations

from mail_proxy.client.calls import Given, Group, Mode, call
from mail_proxy.client.reading import model
from mail_proxy.wire.alerts import AlertTestOut


class Alerts(Group[Mode]):
    """Calls about alerts to a person."""

    @call("POST", "/alerts/test", model(AlertTestOut), names_tenant=False, repeatable=False)
    def test(self) -> Given:
        """Send a test alert to ``alert_email`` and ``alert_url``."""
        return Given()
