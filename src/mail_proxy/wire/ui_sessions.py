"""JSON shapes of dashboard sessions."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from mail_proxy.wire.fields import Answer, Secret


class UiLinkOut(Answer):
    """A link that begins one dashboard session."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ok": True,
                    "path": "/ui/open?code=Yl1bXq0Jc8w2mVt3nR5sKd7fGh9jL0pQaZxCvBnM4eU",
                    "expires_ts": 1_790_000_300,
                }
            ]
        }
    )

    path: Secret = Field(description="Path and query of the link on this service.")
    expires_ts: int = Field(description="The link works until then, Unix seconds.")


class UiSessionsEnded(Answer):
    """Number of dashboard sessions that were ended."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ok": True, "ended": 2}]})

    ended: int = Field(description="Sessions and unused links.")
