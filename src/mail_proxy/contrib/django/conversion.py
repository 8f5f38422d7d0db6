"""Conversion of Django's EmailMessage to a message of the proxy."""

from __future__ import annotations

import base64
import mimetypes
import uuid
from collections.abc import Mapping
from email.message import Message as MimePart
from email.utils import parseaddr
from typing import Any

from django.core.mail import EmailMessage, EmailMultiAlternatives

#: Options that a message may have in its attribute ``mail_proxy``.
OPTIONS = frozenset(
    {
        "id",
        "tenant_id",
        "account_id",
        "priority",
        "deferred_ts",
        "expires_ts",
        "batch_code",
        "return_path",
    }
)
#: Headers that the proxy writes from fields. With another value, the mail is sent as Django wrote
#: it.
_OF_FIELDS = frozenset({"to", "cc", "bcc", "reply-to", "subject", "date"})


def message_of(mail: EmailMessage, account_id: str | None = None) -> dict[str, Any]:
    """Return the fields of ``add-messages`` for a mail of Django.

    The attribute ``mail.mail_proxy`` may have the options of ``OPTIONS``; without an ``id`` it
    gets one, so that the same object is the same message if it is sent again. Raises ValueError
    for an unknown option.

    A mail with parts that the fields cannot express is sent as Django composes it.
    """
    options = dict(getattr(mail, "mail_proxy", None) or {})
    if unknown := options.keys() - OPTIONS:
        raise ValueError(
            f"unknown options in mail_proxy: {', '.join(sorted(unknown))}; "
            f"possible are {', '.join(sorted(OPTIONS))}"
        )
    options.setdefault("id", str(uuid.uuid4()))
    mail.mail_proxy = options
    if account_id is not None:
        options = {"account_id": account_id, **options}
    fields = _fields(mail)
    return {**(_raw(mail) if fields is None else fields), **options}


def _raw(mail: EmailMessage) -> dict[str, Any]:
    octets = mail.message().as_bytes()
    return {
        "raw": base64.b64encode(octets).decode(),
        "from": parseaddr(mail.from_email)[1],
        "to": [parseaddr(address)[1] for address in mail.recipients()],
    }


def _fields(mail: EmailMessage) -> dict[str, Any] | None:
    """Return the mail as fields, or None if they cannot express it."""
    headers = {name: str(value) for name, value in mail.extra_headers.items()}
    message_id, sender = _pop(headers, "message-id"), _pop(headers, "from")
    html = _html_alternative(mail)
    attachments = [_attachment(each) for each in mail.attachments]
    if (
        mail.content_subtype not in ("plain", "html")
        or type(mail).message not in (EmailMessage.message, EmailMultiAlternatives.message)
        or any(name.lower() in _OF_FIELDS for name in headers)
        or html is None
        or None in attachments
    ):
        return None
    fields: dict[str, Any] = {
        "from": sender or mail.from_email,
        "to": list(mail.to),
        "cc": list(mail.cc),
        "bcc": list(mail.bcc),
        "subject": str(mail.subject),
        "body": str(mail.body),
        "content_type": mail.content_subtype,
        "headers": headers,
        "attachments": attachments,
    }
    if mail.reply_to:
        fields["reply_to"] = list(mail.reply_to)
    if html:
        fields["body_html"] = html
    if message_id:
        fields["message_id"] = message_id
    if sender and parseaddr(sender)[1] != parseaddr(mail.from_email)[1]:
        fields["return_path"] = parseaddr(mail.from_email)[1]
    return fields


def _pop(headers: dict[str, str], name: str) -> str | None:
    found = next((key for key in headers if key.lower() == name), None)
    return None if found is None else headers.pop(found)


def _html_alternative(mail: EmailMessage) -> str | None:
    """Return the HTML text next to the plain one, None for other alternatives.

    Returns "" if the mail has none.
    """
    alternatives = getattr(mail, "alternatives", None) or []
    if not alternatives:
        return ""
    content, kind = alternatives[0]
    is_usual = len(alternatives) == 1 and kind == "text/html" and isinstance(content, str)
    return content if is_usual and content and mail.content_subtype == "plain" else None


def _attachment(given: Any) -> dict[str, Any] | None:
    """Return an attachment as fields, or None for a message or multipart."""
    if isinstance(given, MimePart):
        return _of_part(given)
    filename, content, kind = given
    if isinstance(content, (EmailMessage, MimePart)) or (kind or "").startswith("message/"):
        return None
    octets = content.encode() if isinstance(content, str) else bytes(content)
    return _fields_of(filename, octets, kind or _guessed(filename))


def _of_part(part: MimePart) -> dict[str, Any] | None:
    octets = part.get_payload(decode=True)
    if part.is_multipart() or part.get_content_maintype() == "message":
        return None
    if not isinstance(octets, bytes):
        return None
    extra: dict[str, Any] = {}
    if content_id := part.get("Content-ID"):
        extra["content_id"] = str(content_id).strip().strip("<>")
    disposition = part.get_content_disposition()
    if disposition in ("inline", "attachment"):
        extra["disposition"] = disposition
    return _fields_of(part.get_filename(), octets, part.get_content_type(), extra)


def _fields_of(
    filename: str | None, octets: bytes, kind: str, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    name = filename or f"attachment{mimetypes.guess_extension(kind) or '.bin'}"
    storage_path = f"base64:{base64.b64encode(octets).decode()}"
    return {"filename": name, "storage_path": storage_path, "mime_type": kind, **(extra or {})}


def _guessed(filename: str | None) -> str:
    kind = mimetypes.guess_type(filename or "")[0]
    return kind or "application/octet-stream"
