"""Table of the outbox."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models


class OutboxMessage(models.Model):
    """A message that waits for the proxy; the row goes when the proxy has the message."""

    message_id = models.CharField(max_length=255, unique=True)
    #: The message in the fields of ``add-messages``.
    payload = models.JSONField(encoder=DjangoJSONEncoder)
    created_at = models.DateTimeField(auto_now_add=True)
    #: Reason for which the proxy refused the message. It is not sent again then.
    refused = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("pk",)
        verbose_name = "message in the outbox"
        verbose_name_plural = "messages in the outbox"

    def __str__(self) -> str:
        return str(self.message_id)
