"""Every kind of line that the log can hold, and every field that a line can have.

A line is an action and fields of known kinds. There is no field for what a mail says, and none for
a secret; so neither can be logged by mistake.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import Enum, unique
from logging import DEBUG, ERROR, INFO, WARNING
from typing import Annotated, TypedDict

_OUTCOME = ("tenant_id", "account_id", "message_id", "message_pk", "code", "reason")


@unique
class Action(Enum):
    """What a line is about: its stable name, its level, a sentence, and the fields it may have."""

    def __init__(self, word: str, level: int, sentence: str, *fields: str) -> None:
        self.word = word
        self.level = level
        self.sentence = sentence
        self.fields = fields
        self.logger = logging.getLogger(f"mail_proxy.{word.partition('.')[0]}")

    # The service and its processes.
    PROXY_STARTED = ("proxy.started", INFO, "The service runs", "database")
    PROXY_STOPPING = ("proxy.stopping", INFO, "The service finishes what is in flight")
    PROXY_STOPPED = ("proxy.stopped", INFO, "The service has stopped")
    SCHEMA_UPGRADED = (
        "schema.upgraded",
        INFO,
        "The database was brought to the schema of this version",
        "before",
        "after",
    )
    KEY_OUTDATED = (
        "key.outdated",
        WARNING,
        "The configured encryption key was replaced by a rotation: configure the new one",
        "source",
        "used",
    )
    WORKER_STARTED = ("worker.started", INFO, "A delivering process runs", "pid")
    WORKER_STOPPED = ("worker.stopped", INFO, "A delivering process has stopped", "pid")
    WORKER_FAILED = ("worker.failed", ERROR, "A delivering process could not start", "reason")
    WORKER_ENDED = (
        "worker.ended",
        ERROR,
        "A delivering process ended by itself; a new one is started",
        "worker",
        "exit_status",
    )
    WORKER_LATE = (
        "worker.late",
        ERROR,
        "No delivering process is ready yet; they are still tried",
        "seconds",
    )
    LOOP_WAITS = ("loop.waits", WARNING, "A loop cannot work now and will go on", "loop", "reason")
    LOOP_FAILED = (
        "loop.failed",
        ERROR,
        "A round of a loop failed by a fault of the proxy; it goes on after a pause",
        *("loop", "seconds", "error", "trace"),
    )
    JOB_WAITS = (
        "job.waits",
        WARNING,
        "A job cannot be done now and will be tried again",
        *("loop", "job", "reason"),
    )
    JOB_FAILED = (
        "job.failed",
        ERROR,
        "A job failed by a fault of the proxy; it will be tried again",
        *("loop", "job", "error", "trace"),
    )
    CLOCK_SET_BACK = ("clock.set_back", WARNING, "The machine's clock was set back", "seconds")
    CLOCK_MENDED = (
        "clock.mended",
        WARNING,
        "Times that lie ahead of the clock were brought back",
        "rows",
    )
    RETENTION_DONE = ("retention.done", INFO, "Old rows were removed", "duty", "rows")
    PROCESS_CRASHED = (
        "process.crashed",
        ERROR,
        "A process ends by a fault of the proxy",
        *("error", "trace"),
    )
    LIBRARY_SAID = (
        "library.said",
        WARNING,
        "A library has something to tell",
        *("logger", "text", "error", "trace"),
    )

    # Requests.
    REQUEST_ANSWERED = (
        "request.answered",
        DEBUG,
        "A request was answered",
        *("method", "route", "status", "milliseconds", "actor", "address"),
    )
    REQUEST_UNAVAILABLE = (
        "request.unavailable",
        WARNING,
        "A request was answered with 503: the database is away",
        "reason",
    )
    CONNECTIONS_SHED = (
        "connections.shed",
        WARNING,
        "HTTP connections were closed or refused because there were too many",
        *("count", "open", "most"),
    )
    SERVER_UNKNOWN = (
        "server.unknown",
        WARNING,
        "This HTTP server is not uvicorn: it alone bounds size, time and number of connections",
    )
    DESCRIPTORS_SHORT = (
        "descriptors.short",
        WARNING,
        "Hardly any file descriptors are left; new connections fail until there are more",
        "most",
    )
    REQUEST_FAILED = (
        "request.failed",
        ERROR,
        "A request was answered with 500: a fault of the proxy",
        *("error", "trace"),
    )
    CALL_REFUSED = (
        "call.refused",
        WARNING,
        "A log-in failed, or a token does not reach what was asked for",
        *("status", "actor", "address"),
    )
    AUDIT_LOST = (
        "audit.lost",
        WARNING,
        "A refused call is missing in the audit log: the database is away",
        "reason",
    )

    # Messages: only with the setting log_delivery_activity.
    MESSAGE_QUEUED = (
        "message.queued",
        INFO,
        "A message was taken in",
        *("tenant_id", "account_id", "message_id"),
    )
    MESSAGE_SENT = (
        "message.sent",
        INFO,
        "The server has taken the message",
        *_OUTCOME,
    )
    MESSAGE_DEFERRED = (
        "message.deferred",
        INFO,
        "The message will be tried again",
        *_OUTCOME,
        "retry_ts",
    )
    MESSAGE_ERROR = (
        "message.error",
        INFO,
        "The message was given up",
        *_OUTCOME,
    )
    MESSAGE_REPORTED = (
        "message.reported",
        INFO,
        "The application has acknowledged an event of the message",
        *("tenant_id", "account_id", "message_id", "message_pk", "event_type"),
    )

    # Delivery.
    MESSAGE_FAULT = (
        "message.fault",
        ERROR,
        "An attempt failed by a fault of the proxy; the message will be tried again",
        *("tenant_id", "account_id", "message_id", "message_pk", "error", "trace"),
    )
    ACCOUNT_PAUSED = (
        "account.paused",
        WARNING,
        "The account cannot be used; its messages wait",
        *("tenant_id", "account_id", "stage", "code", "seconds", "reason"),
    )
    ACCOUNT_HEALED = (
        "account.healed",
        INFO,
        "The account can be used again",
        *("tenant_id", "account_id"),
    )
    LEASE_LOST = (
        "lease.lost",
        WARNING,
        "Others may send what this process had claimed: it was silent for too long",
        "dispatcher_id",
    )
    LEASE_RESCUED = (
        "lease.rescued",
        WARNING,
        "Messages that a dead process had claimed are back in the queue",
        "messages",
    )
    OUTCOME_WAITS = (
        "outcome.waits",
        WARNING,
        "Outcomes cannot be written now and are kept: the database is away",
        "reason",
    )
    OUTCOME_LOST_CLAIM = (
        "outcome.lost_claim",
        WARNING,
        "Outcomes came too late: others have these messages, or they are gone",
        "messages",
    )
    OUTCOME_FAULT = (
        "outcome.fault",
        ERROR,
        "An outcome could not be written; the message may be sent again",
        *("tenant_id", "message_pk", "status", "error", "trace"),
    )
    DISPATCHER_CUT_SHORT = (
        "dispatcher.cut_short",
        WARNING,
        "What was in flight did not end within shutdown_timeout and is broken off",
    )
    DISPATCHER_UNRECORDED = (
        "dispatcher.unrecorded",
        ERROR,
        "The last outcomes could not be written; their messages may be sent again",
    )
    DISPATCHER_NOT_HANDED_BACK = (
        "dispatcher.not_handed_back",
        WARNING,
        "Claimed messages wait until the lease ends: the database is away",
        "reason",
    )

    # Reports.
    REPORT_SENT = (
        "report.sent",
        INFO,
        "The application has answered a report",
        *("tenant_id", "events", "refused", "queued"),
    )
    REPORT_EMPTY = (
        "report.empty",
        DEBUG,
        "The application was called with nothing to report",
        *("tenant_id", "queued"),
    )
    REPORT_FAILED = (
        "report.failed",
        WARNING,
        "The application did not take a report; it is told again later",
        *("tenant_id", "events", "reason"),
    )
    REPORT_NOT_FOUND = (
        "report.not_found",
        WARNING,
        "The application does not know messages that were reported to it",
        *("tenant_id", "count", "ids"),
    )
    REPORT_RAISED = (
        "report.raised",
        ERROR,
        "The report_delivery_callable raised an error",
        *("tenant_id", "error", "trace"),
    )
    REPORT_TOOK_OVER = (
        "report.took_over",
        WARNING,
        "A process that was reporting has died; its tenants are called by others",
        "owner",
    )
    REPORT_NOT_HANDED_BACK = (
        "report.not_handed_back",
        WARNING,
        "Tenants are called again only when the claims end: the database is away",
        "reason",
    )


class Fields(TypedDict, total=False):
    """The fields of lines; one that is None is left out."""

    request_id: Annotated[str | None, "`X-Request-ID` of the request that the line belongs to"]
    tenant_id: Annotated[str, "The tenant"]
    account_id: Annotated[str | None, "The account, as its tenant calls it"]
    message_id: Annotated[str, "The message, as its tenant calls it"]
    message_pk: Annotated[str, "The message's `pk`"]
    event_type: Annotated[str, "The event"]
    code: Annotated[int | None, "SMTP reply code"]
    retry_ts: Annotated[float | None, "The next attempt, Unix seconds"]
    reason: Annotated[str | None, "Why, in words of the proxy, or of a server before any mail"]
    stage: Annotated[str, "`dns`, `connect`, `tls`, `greeting`, `ehlo`, `auth` or `MAIL`"]
    seconds: Annotated[float, "How long: the pause, the delay, the jump"]
    milliseconds: Annotated[float, "How long the request took"]
    status: Annotated[int | str, "HTTP status; with outcomes, the status of the message"]
    method: Annotated[str, "HTTP method"]
    route: Annotated[str | None, "The route, with names in place of values"]
    actor: Annotated[str | None, "`admin`, `tenant:<id>`, or `nobody` for a failed log-in"]
    address: Annotated[str | None, "Where the request came from"]
    events: Annotated[int, "How many events were told"]
    refused: Annotated[int, "How many of them the application did not take"]
    queued: Annotated[int, "How many messages the application has ready"]
    count: Annotated[int, "How many"]
    open: Annotated[int, "How many are open"]
    most: Annotated[int, "How many are allowed"]
    messages: Annotated[int, "How many messages"]
    rows: Annotated[int, "How many rows"]
    ids: Annotated[Sequence[str], "The first 20 of these messages"]
    loop: Annotated[str, "Which loop"]
    job: Annotated[str, "Which of its jobs: the tenant"]
    duty: Annotated[str, "`messages`, `audit`, `orphans` or `rates`"]
    database: Annotated[str, "`sqlite` or `postgresql`"]
    before: Annotated[str | None, "Revision of the schema before"]
    after: Annotated[str | None, "Revision of the schema now"]
    source: Annotated[str, "Where the outdated key is configured"]
    used: Annotated[str, "The file of the key that is used"]
    owner: Annotated[str, "Which process it was"]
    dispatcher_id: Annotated[str, "Name of the lost lease"]
    pid: Annotated[int, "The process"]
    worker: Annotated[int, "Number of the process, from 1"]
    exit_status: Annotated[int, "Exit code, or the signal as a negative number"]
    logger: Annotated[str, "Which library"]
    text: Annotated[str, "The first line of what it says, without values"]
    error: Annotated[str, "Kind of error, and after `<-` what caused it"]
    trace: Annotated[str, "Where it was raised, outermost call first"]
