"""Actions of the log about the service: processes, database, disk, loops, clock."""

from __future__ import annotations

from enum import unique
from logging import DEBUG, ERROR, INFO, WARNING

from mail_proxy.telemetry.logged_action import LoggedAction


@unique
class ServiceAction(LoggedAction):
    """Event of the service itself that is logged."""

    # The service and its processes.
    PROXY_STARTED = ("proxy.started", INFO, "The service is running", "database", "place")
    PROXY_FAILED = ("proxy.failed", ERROR, "The service could not start", "place", "reason")
    PROXY_STOPPING = (
        "proxy.stopping",
        INFO,
        "The service is stopping and finishes deliveries in progress",
    )
    PROXY_STOPPED = ("proxy.stopped", INFO, "The service has stopped")
    SCHEMA_UPGRADED = (
        "schema.upgraded",
        INFO,
        "The database schema was migrated to this version",
        "before",
        "after",
    )
    DATABASE_UNAVAILABLE = (
        "database.unavailable",
        ERROR,
        "The database does not work; calls are answered with 503 and the loops wait",
        "reason",
    )
    DATABASE_AVAILABLE = (
        "database.available",
        WARNING,
        "The database works again",
        "seconds",
    )
    DISK_SHORT = (
        "disk.short",
        ERROR,
        "No new messages are taken: the database's disk has less than min_free_disk_mb free",
        "megabytes",
    )
    DISK_ENOUGH = (
        "disk.enough",
        WARNING,
        "New messages are taken again: the database's disk has enough free space",
        "megabytes",
    )
    KEY_OUTDATED = (
        "key.outdated",
        WARNING,
        "The configured encryption key was replaced by a rotation; configure the new key",
        "source",
        "used",
    )
    CACHE_FAILED = (
        "cache.failed",
        WARNING,
        "The cache of attachments on disk does not work; attachments are fetched each time",
        "reason",
    )
    FILES_REMOVED = (
        "files.removed",
        INFO,
        "Large files whose time is over were removed",
        "rows",
    )
    FILE_LARGE = (
        "file.large",
        WARNING,
        "Large attachment is sent, as large_file_config says",
        *("tenant_id", "message_id", "message_pk", "megabytes"),
    )
    WORKER_STARTED = ("worker.started", INFO, "Delivery process is running", "pid")
    WORKER_STOPPED = ("worker.stopped", INFO, "Delivery process has stopped", "pid")
    WORKER_FAILED = ("worker.failed", ERROR, "Delivery process could not start", "reason")
    WORKER_ENDED = (
        "worker.ended",
        ERROR,
        "Delivery process ended unexpectedly; a new one is started",
        "worker",
        "exit_status",
    )
    WORKER_LATE = (
        "worker.late",
        ERROR,
        "No delivery process is ready yet; starting them continues",
        "seconds",
    )
    LOOP_WAITS = (
        "loop.waits",
        DEBUG,
        "Background loop is waiting and will retry",
        "loop",
        "reason",
    )
    LOOP_FAILED = (
        "loop.failed",
        ERROR,
        "Background loop failed because of a bug in the proxy; it will retry",
        *("loop", "seconds", "error", "trace"),
    )
    LOOP_RESUMED = (
        "loop.resumed",
        WARNING,
        "Background loop works again",
        *("loop", "seconds"),
    )
    JOB_WAITS = (
        "job.waits",
        DEBUG,
        "Job is waiting and will be retried",
        *("loop", "job", "reason"),
    )
    JOB_FAILED = (
        "job.failed",
        ERROR,
        "Job failed because of a bug in the proxy; it will be retried",
        *("loop", "job", "error", "trace"),
    )
    CLOCK_SET_BACK = ("clock.set_back", WARNING, "The system clock was set back", "seconds")
    CLOCK_MENDED = (
        "clock.mended",
        WARNING,
        "Timestamps in the future were corrected after the clock was set back",
        "rows",
    )
    RETENTION_DONE = ("retention.done", INFO, "Expired rows were removed", "duty", "rows")
    PROCESS_CRASHED = (
        "process.crashed",
        ERROR,
        "Process crashed because of a bug in the proxy",
        *("error", "trace"),
    )
    LIBRARY_SAID = (
        "library.said",
        WARNING,
        "Message from a library",
        *("logger", "text", "error", "trace"),
    )
