"""Settings of the queue: times, limits, numbers at once, quotas of tenants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator

from mail_proxy.config_values import Group, PositiveSeconds, Seconds
from mail_proxy.domain.message import PRIORITIES

#: A dispatcher that reads a longer lease in the database concludes that the clocks differ.
LONGEST_LEASE_SECONDS = 300.0


class TimingConfig(Group):
    """Intervals and time limits of loops, calls and deliveries."""

    send_loop_interval: PositiveSeconds = Field(
        1.0,
        description="Interval of the dispatcher's safety poll, seconds. New messages do not wait "
        "for it.",
    )
    sync_interval: PositiveSeconds = Field(
        300.0, description="Longest time between two calls to a tenant that has a URL, seconds."
    )
    report_delay: Seconds = Field(
        0.5, description="Time to collect new events before a report call, seconds."
    )
    send_timeout: PositiveSeconds = Field(
        300.0,
        description="Longest duration of one SMTP transaction, seconds. If the server's final "
        "answer takes longer, the outcome is uncertain; RFC 5321, 4.5.3.2 asks for long limits.",
    )
    shutdown_timeout: Seconds = Field(
        30.0,
        description="Time limit for unfinished sends and report calls at a stop, seconds.",
    )
    request_timeout: PositiveSeconds = Field(
        60.0,
        description="Time limit for receiving the head of an HTTP request, and then its body, "
        "seconds.",
    )
    lease_seconds: Annotated[float, Field(ge=5, le=LONGEST_LEASE_SECONDS)] = Field(
        30.0,
        description="Time without a sign of life from a dispatcher after which its messages go "
        "back to the queue, seconds.",
    )


class QueueConfig(Group):
    """Limits of the queue, and how long rows are kept."""

    max_enqueue_batch: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1000, description="Largest number of messages in one add-messages call."
    )
    max_body_mb: Annotated[float, Field(gt=0, le=1024)] = Field(
        64.0, description="Largest request body, MB (10^6 bytes)."
    )
    min_free_disk_mb: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        100.0,
        description="Free space below which no new messages are taken, so that outcomes and "
        "reports still have room, MB (10^6 bytes); 0: no limit. On the disk of a SQLite file.",
    )
    default_priority: int = Field(
        2, description="Priority of messages that name none: 0-3, or immediate, high, medium, low."
    )
    report_retention_seconds: Seconds = Field(
        604_800.0,
        description="Time from the last report to the removal of a finished message, seconds.",
    )
    report_batch_size: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1000, description="Largest number of events in one report call."
    )
    audit_retention_days: Annotated[int, Field(ge=1)] = Field(
        90, description="Age at which entries of the audit log are removed, days."
    )
    stats_retention_days: Annotated[int, Field(ge=2, le=36_500)] = Field(
        400, description="Age at which the hourly counters of GET /stats are removed, days."
    )

    @field_validator("default_priority", mode="before")
    @classmethod
    def _named_priority(cls, value: Any) -> Any:
        number = PRIORITIES.get(str(value).lower(), value)
        if str(number) not in {"0", "1", "2", "3"}:
            raise ValueError("allowed: 0-3, immediate, high, medium, low")
        return number


class ConcurrencyConfig(Group):
    """Numbers of processes, transactions and connections at the same time."""

    workers: Annotated[int, Field(ge=0, le=64)] = Field(
        0, description="Number of delivery processes; 0: the API process delivers too."
    )
    max_concurrent_sends: Annotated[int, Field(ge=1, le=10_000)] = Field(
        50,
        description="SMTP transactions at once, per process. Transactions that take over a second "
        "do not count.",
    )
    max_concurrent_per_account: Annotated[int, Field(ge=1, le=1000)] = Field(
        10, description="SMTP connections at once for one account, per process."
    )
    max_connections: Annotated[int, Field(ge=10, le=60_000)] = Field(
        1000,
        description="HTTP connections at once; at most half of the files that the process may "
        "open. Idle ones are closed for new ones.",
    )
    max_bodies_mb: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        256.0,
        description="Request bodies of more than 64 kB in memory at once, MB (10^6 bytes). A "
        "tenant or an address has a sixteenth, or one larger body. Others wait, up to "
        "request_timeout.",
    )
    batch_size: Annotated[int, Field(ge=1)] = Field(
        50, description="Messages sent over one connection before it is replaced."
    )


class QuotaConfig(Group):
    """Limits of each tenant that has none of its own.

    No honest tenant should meet them.
    """

    max_queued_messages: Annotated[int, Field(ge=1)] = Field(
        10_000_000, description="Unfinished messages of one tenant; more are refused with 429."
    )
    max_queued_mb: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        10_000.0,
        description="Content of the unfinished messages of one tenant, MB (10^6 bytes); more is "
        "refused with 429.",
    )
    max_accounts: Annotated[int, Field(ge=1)] = Field(
        1000, description="Accounts of one tenant; more are refused with 409."
    )
    max_calls_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        1000.0,
        description="Calls with one tenant's key, per process; after a pause five seconds' worth "
        "at once. More are refused with 429.",
    )

    max_audit_entries: Annotated[int, Field(ge=1000)] = Field(
        1_000_000,
        description="Entries of the audit log about one tenant; of more, the oldest that were made "
        "with the tenant's key are removed every ten minutes.",
    )

    def of(self, own: Mapping[str, float]) -> QuotaConfig:
        """Return the quotas of a tenant that has some of its ``own``, by name."""
        return self.model_copy(update=own) if own else self
