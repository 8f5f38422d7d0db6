"""JSON shape of the instance's state."""

from __future__ import annotations

import importlib.metadata
from functools import cache

from pydantic import BaseModel, Field

from mail_proxy.wire.fields import Answer, Request


class StatusQuery(Request):
    """Extent of ``GET /status``."""

    full: bool = False


class Attention(BaseModel):
    """Entry of the attention list: a trouble that an operator has to mend."""

    code: str = Field(
        description="account_paused, reports_failing, queue_late, dispatcher_stopped or disk_short."
    )
    text: str = Field(description="The trouble, in words.")
    since_ts: int | None = Field(None, description="Since when, Unix seconds; null if unknown.")
    tenant_id: str | None = Field(None, description="Tenant that it is about, if it is one.")
    account_id: str | None = Field(None, description="Account that it is about, if it is one.")
    waiting: int | None = Field(None, description="Unfinished messages that it holds up.")


class LastDay(BaseModel):
    """Messages in this hour and the 23 before it."""

    sent: int = Field(description="Messages that a mail server accepted.")
    error: int = Field(description="Messages that were given up.")
    bounced: int = Field(description="Messages that came back.")


class AccountCounts(BaseModel):
    """Number of accounts, and of those that cannot be used now."""

    total: int = Field(description="Accounts.")
    paused: int = Field(description="Accounts in trouble; they are tried again by themselves.")


class ReportState(BaseModel):
    """State of the reports to applications."""

    failing: int = Field(description="Applications whose last call failed.")
    oldest_seconds: float | None = Field(
        description="Age of the oldest event that an application has not acknowledged; null if "
        "there is none."
    )


class DiskState(BaseModel):
    """Room on the disk of the SQLite file."""

    free_mb: float = Field(description="Free space, MB (10^6 bytes).")
    min_free_mb: float = Field(description="The setting min_free_disk_mb; 0: no limit.")
    short: bool = Field(description="Whether too little is free, so that no messages are taken.")


class ProcessState(BaseModel):
    """A process that delivers messages."""

    host: str = Field(description="Name of its host.")
    pid: int = Field(description="Its process id there.")


class Status(Answer):
    """State of the instance: whether it sends, and how much is waiting."""

    active: bool = Field(description="Whether the setting scheduler_active allows sending.")
    scheduler_active: bool = Field(description="Whether the dispatcher is running.")
    pending_messages: int = Field(
        description="Unfinished messages; with a tenant key, the tenant's."
    )
    uptime_seconds: float = Field(description="Time since the start, seconds.")
    version: str = Field(description="Version of the program.")
    database: str = Field(description="sqlite or postgresql.")
    waiting: dict[str, int] | None = Field(
        None, description="Unfinished messages by the reason why they wait; only with `full`."
    )
    oldest_due_seconds: float | None = Field(
        None,
        description="How long the message has been due whose turn is next; null without one; only "
        "with `full`.",
    )
    last_24h: LastDay | None = Field(
        None, description="Outcomes of the last day, from the counters; only with `full`."
    )
    accounts: AccountCounts | None = Field(None, description="Accounts; only with `full`.")
    reports: ReportState | None = Field(None, description="Reports; only with `full`.")
    disk: DiskState | None = Field(
        None,
        description="Room for the database; null on PostgreSQL. Only with `full`, and for the "
        "whole instance.",
    )
    processes: list[ProcessState] | None = Field(
        None,
        description="Delivering processes of all hosts; only with `full`, and for the whole "
        "instance.",
    )
    last_backup_ts: int | None = Field(
        None, description="Time of the last backup; null: none is known. Only with `full`."
    )
    attention: list[Attention] | None = Field(
        None, description="Troubles that an operator has to mend, [] if none; only with `full`."
    )


@cache
def program_version() -> str:
    """Return the version of the installed package."""
    return importlib.metadata.version("genro-mail-proxy")
