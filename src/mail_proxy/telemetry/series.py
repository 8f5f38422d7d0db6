"""Definitions of all Prometheus series: name, labels, help text, buckets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

#: Exchanges with an SMTP server: TCP to EHLO; STARTTLS to EHLO; AUTH; MAIL, RCPT and DATA up to
#: the server's go-ahead; the message up to the answer to its end (RFC 5321 section 3.3).
SmtpPhase = Literal["connect", "tls", "login", "mail", "data"]
SMTP_PHASES: tuple[SmtpPhase, ...] = get_args(SmtpPhase)
#: Tiers of the cache of attachments.
CacheTier = Literal["memory", "disk"]
CACHE_TIERS: tuple[CacheTier, ...] = get_args(CacheTier)


@dataclass(frozen=True, slots=True)
class Series:
    """Definition of a Prometheus series, with the text that docs and scrapes show.

    ``buckets`` are the upper bounds of a histogram in seconds; other kinds have none.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


_ACCOUNT = ("tenant_id", "account_id")

SENT = Series(
    "gmp_sent_total", "counter", "messages", _ACCOUNT, "Messages that a server has accepted."
)
ERRORS = Series("gmp_errors_total", "counter", "messages", _ACCOUNT, "Messages that were given up.")
DEFERRED = Series(
    "gmp_deferred_total", "counter", "attempts", _ACCOUNT, "Attempts that will be repeated."
)
RATE_LIMITED = Series(
    "gmp_rate_limited_total",
    "counter",
    "times",
    _ACCOUNT,
    "Times that a queue was found at its rate limit, not messages behind it.",
)
DELIVERY = Series(
    "gmp_delivery_seconds",
    "histogram",
    "seconds",
    _ACCOUNT,
    "From the moment that a message was due (queued, scheduled for, or to be tried again) until "
    "a server accepted it.",
    (0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0),
)
ACCOUNT_UP = Series(
    "gmp_account_up",
    "gauge",
    "0 or 1",
    _ACCOUNT,
    "1: the account can be used; 0: it is paused because of trouble.",
)
PENDING = Series("gmp_pending_messages", "gauge", "messages", (), "Messages that are not finished.")
QUEUE = Series(
    "gmp_queue_messages",
    "gauge",
    "messages",
    ("priority",),
    "Messages that are not finished, by priority; of a queue of millions up to a minute old.",
)
WAITING = Series(
    "gmp_waiting_messages",
    "gauge",
    "messages",
    ("reason",),
    "Messages that are not finished, by the reason why they wait, as in GET /messages; of a queue "
    "of millions up to a minute old.",
)
OLDEST_PENDING = Series(
    "gmp_oldest_pending_seconds",
    "gauge",
    "seconds",
    _ACCOUNT,
    "How long the account's waiting message that has been due longest has been due; 0 when none "
    "is due. Messages for later, and those that are suspended, do not count.",
)
SYNC_CALLS = Series(
    "gmp_sync_calls_total",
    "counter",
    "calls",
    ("tenant_id", "outcome"),
    "Calls to the tenant's application. All outcomes but ok acknowledged nothing.",
)
SMTP = Series(
    "gmp_smtp_seconds",
    "histogram",
    "seconds",
    ("phase",),
    "Exchanges with SMTP servers, however they ended.",
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
CACHE = Series(
    "gmp_attachment_cache_total",
    "counter",
    "look-ups",
    ("tier", "outcome"),
    "Look-ups of attachments in the cache; outcome is hit, miss or damaged. A miss in memory is "
    "looked up on disk.",
)
CACHE_BYTES = Series(
    "gmp_attachment_cache_bytes_total",
    "counter",
    "bytes",
    ("tier",),
    "Content of attachments that came from the cache.",
)
HTTP = Series(
    "gmp_http_request_seconds",
    "histogram",
    "seconds",
    ("route", "method", "status"),
    "From a request's head to the end of its answer. route is the path's template.",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
BUILD_INFO = Series(
    "gmp_build_info",
    "gauge",
    "always 1",
    ("version", "python", "database"),
    "Versions of the program, Python and the database.",
)
#: All series, in the order of a scrape.
ALL = (
    BUILD_INFO,
    SENT,
    ERRORS,
    DEFERRED,
    RATE_LIMITED,
    DELIVERY,
    ACCOUNT_UP,
    PENDING,
    QUEUE,
    WAITING,
    OLDEST_PENDING,
    SYNC_CALLS,
    SMTP,
    CACHE,
    CACHE_BYTES,
    HTTP,
)
