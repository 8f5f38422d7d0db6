"""JSON shapes of alerts: the call to ``alert_url``, and the answer of a test."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mail_proxy.wire.fields import Answer

_RESULT: dict[str, Any] = {"channel": "url", "ok": False, "detail": "HTTP 500"}


class AlertResult(BaseModel):
    """Result of a test alert on one channel."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RESULT]})

    channel: str = Field(description="`email` or `url`.")
    ok: bool = Field(description="Whether the alert was taken.")
    detail: str | None = Field(description="Why it was not taken; null if it was.")


class AlertTestOut(Answer):
    """Results of a test alert; ``ok`` is false if a channel failed."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ok": False, "channels": [_RESULT]}]}
    )

    ok: bool = Field(description="Whether every channel has taken the alert.")
    channels: list[AlertResult] = Field(description="The configured channels.")


class AlertOut(BaseModel):
    """A trouble in an alert. ``state`` is ``begun``, ``over`` or ``test``.

    ``id`` is the same when it begins and when it is over.
    """

    id: str
    state: str
    code: str
    text: str
    since_ts: int
    tenant_id: str | None = None
    account_id: str | None = None
    waiting: int | None = None


class AlertCall(BaseModel):
    """Payload of a call to ``alert_url``."""

    instance: str
    alerts: list[AlertOut]
