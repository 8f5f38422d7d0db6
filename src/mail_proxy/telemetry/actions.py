"""Actions of the log about requests, messages, accounts, reports and mailboxes."""

from __future__ import annotations

from enum import unique
from logging import DEBUG, ERROR, INFO, WARNING

from mail_proxy.telemetry.logged_action import LoggedAction
from mail_proxy.telemetry.service_actions import ServiceAction

__all__ = ["ACTIONS", "Action", "ServiceAction"]

_OUTCOME = ("tenant_id", "account_id", "message_id", "message_pk", "code", "reason")


@unique
class Action(LoggedAction):
    """Event of requests and mail that is logged."""

    RECIPIENT_UNSUBSCRIBED = (
        "recipient.unsubscribed",
        INFO,
        "A recipient has unsubscribed on the hosted page; the address is suppressed",
        "tenant_id",
        "message_id",
        "recipient",
    )
    SMTP_LISTENING = (
        "smtp.listening",
        INFO,
        "Programs can hand in messages by SMTP at this address",
        "place",
    )
    # Access tokens.
    OAUTH2_RENEWED = (
        "oauth2.renewed",
        INFO,
        "An access token was obtained for the account",
        "tenant_id",
        "account_id",
        "seconds",
    )
    OAUTH2_KEPT = (
        "oauth2.kept",
        WARNING,
        "An access token could not be renewed; the old one is used until its end",
        "reason",
        "seconds",
    )
    # Requests.
    REQUEST_ANSWERED = (
        "request.answered",
        DEBUG,
        "Request was answered",
        *("method", "route", "status", "milliseconds", "actor", "address"),
    )
    CALL_DONE = (
        "call.done",
        INFO,
        "Request changed something, or started work",
        *("operation", "tenant_id", "actor", "address"),
    )
    REQUEST_UNAVAILABLE = (
        "request.unavailable",
        DEBUG,
        "Request was answered with 503 because the database is unavailable",
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
        "Request was answered with 500 because of a bug in the proxy",
        *("error", "trace"),
    )
    CALL_REFUSED = (
        "call.refused",
        WARNING,
        "Request was refused: unknown token (401), or not allowed for this token (403)",
        *("status", "actor", "address"),
    )
    AUDIT_LOST = (
        "audit.lost",
        WARNING,
        "Refused request is missing in the audit log because the database is unavailable",
        "reason",
    )

    # Messages. Except for those that are given up, only with the setting log_delivery_activity.
    MESSAGE_QUEUED = (
        "message.queued",
        INFO,
        "Message was queued",
        *("tenant_id", "account_id", "message_id"),
    )
    MESSAGE_SENT = (
        "message.sent",
        INFO,
        "Message was accepted by the mail server",
        *_OUTCOME,
    )
    MESSAGE_DEFERRED = (
        "message.deferred",
        INFO,
        "Message was deferred and will be retried",
        *_OUTCOME,
        "retry_ts",
    )
    MESSAGE_ERROR = (
        "message.error",
        WARNING,
        "Message was given up",
        *_OUTCOME,
    )
    MESSAGES_GIVEN_UP = (
        "messages.given_up",
        WARNING,
        "Messages of an account were given up; their events have the reasons",
        *("tenant_id", "account_id", "messages", "reason"),
    )
    MESSAGE_REPORTED = (
        "message.reported",
        INFO,
        "Event of the message was acknowledged by the application",
        *("tenant_id", "account_id", "message_id", "message_pk", "event_type"),
    )

    # Delivery.
    MESSAGE_FAULT = (
        "message.fault",
        ERROR,
        "Delivery failed because of a bug in the proxy; the message will be retried",
        *("tenant_id", "account_id", "message_id", "message_pk", "error", "trace"),
    )
    ACCOUNT_PAUSED = (
        "account.paused",
        WARNING,
        "Account is paused because it cannot be used; its messages wait",
        *("tenant_id", "account_id", "server", "stage", "code", "seconds", "retry_ts", "reason"),
    )
    ACCOUNT_HEALED = (
        "account.healed",
        WARNING,
        "Account can be used again",
        *("tenant_id", "account_id", "seconds"),
    )
    ACCOUNT_RESUMED = (
        "account.resumed",
        WARNING,
        "Pause of an account was ended: it was saved, or its test succeeded",
        *("tenant_id", "account_id"),
    )
    LEASE_LOST = (
        "lease.lost",
        WARNING,
        "Lease expired; other processes may send the messages that were claimed under it",
        "dispatcher_id",
    )
    LEASE_RESCUED = (
        "lease.rescued",
        WARNING,
        "Messages claimed by a dead process were returned to the queue",
        "messages",
    )
    OUTCOME_WAITS = (
        "outcome.waits",
        WARNING,
        "Outcomes are kept in memory because the database is unavailable",
        "reason",
    )
    OUTCOME_WRITTEN = (
        "outcome.written",
        WARNING,
        "Outcomes that were kept in memory are written",
        "seconds",
    )
    OUTCOME_LOST_CLAIM = (
        "outcome.lost_claim",
        WARNING,
        "Outcomes were dropped: the messages now belong to another process or are gone",
        "messages",
    )
    OUTCOME_FAULT = (
        "outcome.fault",
        ERROR,
        "Outcome could not be written; the message may be sent again",
        *("tenant_id", "message_pk", "status", "error", "trace"),
    )
    DISPATCHER_CUT_SHORT = (
        "dispatcher.cut_short",
        WARNING,
        "Deliveries in progress were aborted because shutdown_timeout has passed",
    )
    DISPATCHER_UNRECORDED = (
        "dispatcher.unrecorded",
        ERROR,
        "Last outcomes could not be written; their messages may be sent again",
    )
    DISPATCHER_NOT_HANDED_BACK = (
        "dispatcher.not_handed_back",
        WARNING,
        "Claimed messages wait for the end of the lease: the database is unavailable",
        "reason",
    )

    # Reports.
    REPORT_SENT = (
        "report.sent",
        INFO,
        "Application has answered a report call",
        *("tenant_id", "events", "refused", "queued"),
    )
    REPORT_EMPTY = (
        "report.empty",
        DEBUG,
        "Application was called with an empty report",
        *("tenant_id", "queued"),
    )
    REPORT_FAILED = (
        "report.failed",
        WARNING,
        "Report call failed and will be retried",
        *("tenant_id", "url", "events", "reason", "retry_ts"),
    )
    REPORT_RESUMED = (
        "report.resumed",
        WARNING,
        "Application accepts reports again",
        *("tenant_id", "url", "seconds"),
    )
    REPORT_NOT_FOUND = (
        "report.not_found",
        WARNING,
        "Application does not know messages that were reported to it",
        *("tenant_id", "count", "ids"),
    )
    REPORT_RAISED = (
        "report.raised",
        ERROR,
        "The function report_delivery_callable raised an exception",
        *("tenant_id", "error", "trace"),
    )
    REPORT_TOOK_OVER = (
        "report.took_over",
        WARNING,
        "Reporting process has died; its tenants are reported to by another process",
        "owner",
    )
    REPORT_NOT_HANDED_BACK = (
        "report.not_handed_back",
        WARNING,
        "Reports wait for the end of the claims: the database is unavailable",
        "reason",
    )

    # Alerts to a person.
    ALERT_SENT = (
        "alert.sent",
        INFO,
        "Alert was sent: something needs attention for a while, or no longer does",
        *("channel", "alerts"),
    )
    ALERT_FAILED = (
        "alert.failed",
        WARNING,
        "Alert could not be sent and will be tried again",
        *("channel", "alerts", "reason"),
    )
    MAILBOX_FAILED = (
        "mailbox.failed",
        WARNING,
        "Mailbox cannot be used and will be tried again",
        *("mailbox", "stage", "reason", "seconds"),
    )
    MAILBOX_WORKS = (
        "mailbox.works",
        WARNING,
        "Mailbox can be used again",
        *("mailbox", "seconds"),
    )
    MAILBOX_MAIL_SKIPPED = (
        "mailbox.mail_skipped",
        ERROR,
        "Mail in a watched mailbox could not be read; it stays there",
        *("mailbox", "uid", "error", "trace"),
    )
    BOUNCE_RECORDED = (
        "bounce.recorded",
        INFO,
        "Message came back, or a recipient complained about it",
        *("tenant_id", "message_id", "kind", "recipient", "reason"),
    )
    PEC_RECORDED = (
        "pec.recorded",
        INFO,
        "Receipt of certified mail (PEC) arrived",
        *("tenant_id", "message_id", "kind"),
    )
    PEC_UNMATCHED = (
        "pec.unmatched",
        INFO,
        "Receipt of certified mail (PEC) is about a message that is not here, or not any more",
        *("tenant_id", "kind"),
    )
    PEC_SIGNATURE_INVALID = (
        "pec.signature_invalid",
        WARNING,
        "Signature of a PEC receipt is invalid; the message keeps its state",
        *("tenant_id", "message_id", "kind"),
    )
    PEC_TIMEOUT = (
        "pec.timeout",
        WARNING,
        "Certified mail (PEC) was not accepted within pec_acceptance_timeout",
        *("tenant_id", "message_id", "seconds"),
    )
    PEC_PROVED = (
        "pec.proved",
        WARNING,
        "Message whose sending was uncertain was accepted, as a PEC receipt shows",
        *("tenant_id", "message_id"),
    )
    PEC_RECEIPTS_REMOVED = (
        "pec.receipts_removed",
        INFO,
        "Receipts of removed messages were removed",
        "rows",
    )
    REPLY_RECORDED = (
        "reply.recorded",
        INFO,
        "Person answered a message",
        *("tenant_id", "message_id"),
    )
    REPLY_IGNORED = (
        "reply.ignored",
        WARNING,
        "Message has too many replies; this one stays in the mailbox only",
        *("tenant_id", "message_id"),
    )
    BOUNCE_UNMATCHED = (
        "bounce.unmatched",
        INFO,
        "Mail came back about a message that is not here, or not any more",
        "kind",
    )


#: Every action of the log.
ACTIONS: tuple[LoggedAction, ...] = (*ServiceAction, *Action)
