"""Signals about messages, sent for each delivery report."""

from django.dispatch import Signal

#: Sent for each report, with ``report`` (``mail_proxy.client.Report``) and ``event``, its kind:
#: "sent", "error", "deferred", "bounce", "complaint", ... The sender is the kind as well. A
#: receiver that raises makes the proxy send the report again later.
delivery_report = Signal()
