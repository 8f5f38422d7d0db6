"""Every field of the log.

A log line is an action with fields of known kinds. No field can hold the content of a mail or a
secret, so neither can be logged by mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypedDict


class Fields(TypedDict, total=False):
    """Fields of log lines. A field that is None is left out."""

    request_id: Annotated[str | None, "`X-Request-ID` of the request"]
    tenant_id: Annotated[str | None, "Id of the tenant"]
    account_id: Annotated[str | None, "Id that the tenant gave the account"]
    message_id: Annotated[str, "Id that the tenant gave the message"]
    message_pk: Annotated[str, "`pk` of the message"]
    event_type: Annotated[str, "Kind of event"]
    code: Annotated[int | None, "SMTP reply code"]
    retry_ts: Annotated[float | None, "Time of the next attempt, Unix seconds"]
    reason: Annotated[
        str | None,
        "Reason, in words of the proxy, or of a server before any mail",
    ]
    server: Annotated[str, "Host and port of the mail server"]
    url: Annotated[str | None, "URL of the application, without its query"]
    operation: Annotated[str, "Name of the operation, as in the audit log"]
    place: Annotated[str, "File or URL of the database, without password"]
    stage: Annotated[str, "`dns`, `connect`, `tls`, `greeting`, `ehlo`, `auth` or `MAIL`"]
    seconds: Annotated[float | None, "Duration: of the pause, the trouble, the jump of the clock"]
    megabytes: Annotated[float, "Free space, MB (10^6 bytes)"]
    milliseconds: Annotated[float, "Duration of the request"]
    status: Annotated[int | str, "HTTP status; with `outcome.fault`, the status of the message"]
    method: Annotated[str, "HTTP method"]
    route: Annotated[str | None, "Path template of the route, such as `/messages/{id}`"]
    actor: Annotated[str | None, "`admin`, `tenant:<id>`, or `nobody` for a failed log-in"]
    address: Annotated[str | None, "IP address of the caller"]
    events: Annotated[int, "Number of reported events"]
    refused: Annotated[int, "Number of events that the application did not acknowledge"]
    queued: Annotated[int, "Number of messages that the application has ready"]
    count: Annotated[int, "Number of unknown messages"]
    open: Annotated[int, "Number of open connections"]
    most: Annotated[int, "Largest allowed number"]
    messages: Annotated[int, "Number of messages"]
    channel: Annotated[str, "Channel of an alert: `email` or `url`"]
    alerts: Annotated[int, "Number of alerts in one mail or call"]
    rows: Annotated[int, "Number of rows"]
    ids: Annotated[Sequence[str], "Ids of the first 20 unknown messages"]
    mailbox: Annotated[str, "Name of a watched mailbox, such as `bounces`"]
    uid: Annotated[int, "UID of a mail in its folder"]
    kind: Annotated[str, "`bounce`, `complaint`, or the type of a PEC receipt"]
    recipient: Annotated[str, "Address that the mail was sent to"]
    loop: Annotated[str, "Name of the background loop"]
    job: Annotated[str, "Job of the loop: the id of a tenant"]
    duty: Annotated[
        str, "Kind of removed rows: `messages`, `audit`, `orphans`, `rates`, `counts` or `inbound`"
    ]
    database: Annotated[str, "`sqlite` or `postgresql`"]
    before: Annotated[str | None, "Schema revision before the migration"]
    after: Annotated[str | None, "Schema revision after the migration"]
    source: Annotated[str, "Source of the outdated key"]
    used: Annotated[str, "File of the key in use"]
    owner: Annotated[str, "Name of the dead process"]
    dispatcher_id: Annotated[str, "Id of the expired lease"]
    pid: Annotated[int, "Process id"]
    worker: Annotated[int, "Number of the delivery process, from 1"]
    exit_status: Annotated[int, "Exit code, or the signal as a negative number"]
    logger: Annotated[str, "Logger of the library"]
    text: Annotated[str, "First line of the library's message, without values"]
    error: Annotated[str, "Exception type, and after `<-` its cause"]
    trace: Annotated[str, "Places in the code where it was raised, outermost call first"]
