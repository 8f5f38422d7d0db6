"""Mails that come back: delivery reports, complaints, answers of people."""

from __future__ import annotations

from email import message_from_bytes
from email.utils import format_datetime, localtime
from uuid import uuid4

_DOMAIN = "mx.example.net"
_DAEMON = f"Mail Delivery System <MAILER-DAEMON@{_DOMAIN}>"


def delivery_report(
    sent: bytes, recipient: str, status: str, answer: str, *, action: str = "failed"
) -> bytes:
    """Return a delivery report (RFC 3464); ``answer`` is that of the next server."""
    subject = "Undelivered Mail Returned to Sender" if action == "failed" else "Mail delayed"
    explanation = f"<{recipient}>: host {_DOMAIN}[192.0.2.25] said: {answer}\n"
    fields = (
        f"Reporting-MTA: dns; {_DOMAIN}\n\n"
        f"Final-Recipient: rfc822; {recipient}\n"
        f"Action: {action}\nStatus: {status}\n"
        f"Remote-MTA: dns; {_DOMAIN}\nDiagnostic-Code: smtp; {answer}\n"
    )
    parts = [
        ("text/plain; charset=us-ascii", f"This is the mail system at {_DOMAIN}.\n\n{explanation}"),
        ("message/delivery-status", fields),
        ("text/rfc822-headers", _head(sent)),
    ]
    kind = "multipart/report; report-type=delivery-status"
    return _mail(_DAEMON, subject, kind, parts, [("Auto-Submitted", "auto-replied")], "<>")


def text_bounce(sent: bytes, recipient: str, answer: str) -> bytes:
    """Return a bounce as qmail writes it: a text, and the mail below."""
    text = (
        f"Hi. This is the qmail-send program at {_DOMAIN}.\n"
        "I'm afraid I wasn't able to deliver your message to the following addresses.\n"
        "This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
        f"<{recipient}>:\n192.0.2.25 does not like recipient.\nRemote host said: {answer}\n"
        "Giving up on 192.0.2.25.\n\n--- Below this line is a copy of the message.\n\n"
    )
    body = text + sent.decode("utf-8", "replace").replace("\r\n", "\n")
    return _plain(f"MAILER-DAEMON@{_DOMAIN}", "failure notice", body, [], "<>")


def complaint(sent: bytes, recipient: str, feedback_type: str = "abuse") -> bytes:
    """Return a feedback report (ARF, RFC 5965) about a mail."""
    fields = (
        f"Feedback-Type: {feedback_type}\nUser-Agent: Example/1.0\nVersion: 1\n"
        f"Original-Rcpt-To: {recipient}\nArrival-Date: {format_datetime(localtime())}\n"
    )
    parts = [
        ("text/plain; charset=us-ascii", f"{recipient} marked this mail as spam.\n"),
        ("message/feedback-report", fields),
        ("message/rfc822", sent.decode("utf-8", "replace").replace("\r\n", "\n")),
    ]
    kind = "multipart/report; report-type=feedback-report"
    return _mail(f"Feedback <fbl@{_DOMAIN}>", "Email feedback report", kind, parts, [], "<>")


def answer(sent: bytes, recipient: str, text: str = "Thank you, it arrived.") -> bytes:
    """Return the answer of a person to a mail."""
    found = message_from_bytes(sent)
    original, subject = found.get("Message-ID", ""), found.get("Subject", "")
    fields = [("In-Reply-To", original), ("References", original)]
    body = f"{text}\n\nOn Tue, 1 Dec 2026 at 10:00, you wrote:\n> ...\n"
    return _plain(recipient, f"Re: {subject}", body, fields, f"<{recipient}>")


def vacation_note(sent: bytes, recipient: str) -> bytes:
    """Return an automatic answer (RFC 3834) to a mail."""
    original = message_from_bytes(sent).get("Message-ID", "")
    fields = [("In-Reply-To", original), ("Auto-Submitted", "auto-replied (vacation)")]
    return _plain(recipient, "Out of office", "I am on holiday until Monday.\n", fields, "<>")


def _head(sent: bytes) -> str:
    head = sent.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    return head.replace("\r\n", "\n") + "\n"


def _plain(
    sender: str, subject: str, body: str, fields: list[tuple[str, str]], return_path: str
) -> bytes:
    kind = ("Content-Type", "text/plain; charset=utf-8")
    return _joined(sender, subject, [*fields, kind], return_path, body)


def _mail(
    sender: str,
    subject: str,
    kind: str,
    parts: list[tuple[str, str]],
    fields: list[tuple[str, str]],
    return_path: str,
) -> bytes:
    boundary = uuid4().hex
    body = "".join(f"--{boundary}\nContent-Type: {each}\n\n{text}\n" for each, text in parts)
    typed = ("Content-Type", f'{kind}; boundary="{boundary}"')
    return _joined(sender, subject, [*fields, typed], return_path, f"{body}--{boundary}--\n")


def _joined(
    sender: str, subject: str, fields: list[tuple[str, str]], return_path: str, body: str
) -> bytes:
    head = [
        ("Return-Path", return_path),
        ("From", sender),
        ("Subject", subject),
        ("Date", format_datetime(localtime())),
        ("Message-ID", f"<{uuid4()}@{_DOMAIN}>"),
        ("MIME-Version", "1.0"),
        *fields,
    ]
    lines = "".join(f"{name}: {value}\n" for name, value in head)
    return f"{lines}\n{body}".replace("\n", "\r\n").encode()
