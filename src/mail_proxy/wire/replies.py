"""JSON shapes of answers of people to messages."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mail_proxy.wire.fields import Answer, Identifier, Request

_REPLY: dict[str, Any] = {
    "reply_ts": 1_790_000_000,
    "sender": "ann@example.net",
    "subject": "Re: Your order is on its way",
    "excerpt": "Thank you, but the address is wrong.",
    "raw": "RnJvbTogYW5uQGV4YW1wbGUubmV0DQoNClRoYW5rIHlvdQ0K",
}


class RepliesRef(Request):
    """A message, by the client's own identifier."""

    id: Identifier = Field(description="`id` of the message.", examples=["order-1"])


class ReplyOut(BaseModel):
    """An answer of a person to a message."""

    model_config = ConfigDict(json_schema_extra={"examples": [_REPLY]})

    reply_ts: int = Field(description="When it was read from the mailbox, Unix seconds.")
    sender: str = Field(description="Address of the person, from the field From.")
    subject: str = Field(description="Subject, at most 500 characters.")
    excerpt: str = Field(
        description="Beginning of the text without the quoted message, at most 1000 characters."
    )
    raw: str | None = Field(
        description="The whole mail in base64; null if it exceeded the 20 MB that a message keeps."
    )


class RepliesOut(Answer):
    """The answers to a message, oldest first; at most 50."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ok": True, "replies": [_REPLY]}]})

    replies: list[ReplyOut] = Field(description="The answers.")
