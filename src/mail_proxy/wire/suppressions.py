"""JSON shapes of suppressed addresses."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mail_proxy.wire.addresses import comparable, parse_mailbox
from mail_proxy.wire.cursors import Cursor
from mail_proxy.wire.fields import Answer, Identifier, OneLine, Request

_MOST_AT_ONCE = 1000
_ENTRY = {
    "tenant_id": "acme",
    "address": "bob@example.net",
    "reason": "bounce",
    "detail": "5.1.1 no such user",
    "message_id": "invoice-1",
    "since_ts": 1_790_000_000,
}


class SuppressionReason(StrEnum):
    """Reason why an address is not sent to any more."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBED = "unsubscribed"
    MANUAL = "manual"


def _address(value: str) -> str:
    return comparable(parse_mailbox(value).email)


def _example(example: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


MailAddress = Annotated[str, Field(min_length=3, max_length=998), AfterValidator(_address)]


class SuppressionIn(Request):
    """Addresses that the tenant does not send to any more."""

    model_config = _example(
        {
            "tenant_id": "acme",
            "address": "bob@example.net",
            "reason": "manual",
            "detail": "asked by phone",
        }
    )

    tenant_id: Identifier | None = Field(
        None, description="Optional with a tenant key, or if there is only one tenant."
    )
    address: MailAddress | None = Field(None, description="One address.")
    addresses: Annotated[list[MailAddress], Field(max_length=_MOST_AT_ONCE)] | None = Field(
        None, description="Several addresses instead of `address`; at most 1000."
    )
    reason: SuppressionReason = Field(
        SuppressionReason.MANUAL, description=f"{', '.join(SuppressionReason)}."
    )
    detail: Annotated[OneLine, Field(max_length=500)] | None = Field(
        None, description="A note for people."
    )

    @model_validator(mode="after")
    def _names_one(self) -> SuppressionIn:
        if (self.address is None) == (self.addresses is None):
            raise ValueError("give either address or addresses")
        return self

    @property
    def every(self) -> list[str]:
        """Return the addresses, each once."""
        return list(dict.fromkeys([self.address] if self.address else self.addresses or []))


class SuppressionSaved(Answer):
    """The number of addresses that are new on the list."""

    model_config = _example({"ok": True, "added": 1})

    added: int = Field(description="Addresses that were not on the list before.")


class SuppressionRef(Request):
    """An address on the suppression list of the tenant that the call is about."""

    address: MailAddress = Field(description="The address.", examples=["bob@example.net"])


class SuppressionsQuery(Request):
    """A page of the suppression list."""

    address: MailAddress | None = Field(
        None, description="Only this address.", examples=["bob@example.net"]
    )
    reason: SuppressionReason | None = Field(
        None, description="Only entries with this reason.", examples=["bounce"]
    )
    limit: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1000, description="Most entries in the answer."
    )
    cursor: Cursor | None = Field(None, description="The `next_cursor` of the previous page.")


class SuppressionOut(BaseModel):
    """An address that a tenant does not send to any more."""

    model_config = _example(_ENTRY)

    tenant_id: str = Field(description="Tenant of the list.")
    address: str = Field(description="The address, in lower case.")
    reason: str = Field(description=f"{', '.join(SuppressionReason)}.")
    detail: str | None = Field(description="The server's words, or a note.")
    message_id: str | None = Field(description="`id` of the message that came back.")
    since_ts: int = Field(description="When the address was added, Unix seconds.")


class SuppressionsOut(Answer):
    """A page of suppressed addresses, by tenant and address."""

    model_config = _example(
        {"ok": True, "suppressions": [_ENTRY], "next_cursor": "WyJhY21lIiwiYm9iQGV4YW1wbGUubmV0Il0"}
    )

    suppressions: list[SuppressionOut] = Field(description="The page.")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one.")


class SuppressionMistake(BaseModel):
    """A line of a list that was left out."""

    model_config = _example({"line": 3, "reason": "is not an address"})

    line: int = Field(description="Number of the line, from 1.")
    reason: str = Field(description="What is wrong.")


class SuppressionsImported(Answer):
    """Result of an import."""

    model_config = _example(
        {
            "ok": True,
            "added": 812,
            "known": 31,
            "rejected": 1,
            "mistakes": [{"line": 3, "reason": "is not an address"}],
        }
    )

    added: int = Field(description="Addresses that were not on the list before.")
    known: int = Field(description="Addresses that are on the list; they keep reason and time.")
    rejected: int = Field(description="Lines with a mistake, which are left out.")
    mistakes: list[SuppressionMistake] = Field(description="The first 20 mistakes.")
