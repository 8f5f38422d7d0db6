"""Flask extension: mails through the proxy, and a blueprint for its reports.

The names are those of Flask-Mail: ``Mail``, ``Message``, ``mail.send(message)``.
"""

from __future__ import annotations

import base64
import mimetypes
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify, request

from mail_proxy.client import MailProxyClient, Report
from mail_proxy.contrib.queueing import queue_messages
from mail_proxy.contrib.report_calls import answer_report_call
from mail_proxy.errors import MailProxyError

_EXTENSION = "mail_proxy"
_MAIL_FIELDS = ("subject", "cc", "bcc", "reply_to", "return_path", "message_id")


class NotQueued(MailProxyError):
    """The proxy refused a message as wrong; the text names the mistakes."""

    code = "not_queued"


@dataclass
class Attachment:
    """File of a message; ``content_id`` names it in HTML as ``cid:content_id``."""

    filename: str
    data: bytes
    content_type: str | None = None
    content_id: str | None = None
    disposition: str = "attachment"


@dataclass
class Message:
    """A mail to send. Without a ``sender``, it is MAIL_DEFAULT_SENDER.

    ``options`` are further fields of a message: ``priority``, ``deferred_ts``, ``batch_code``,
    ``account_id``. A message that is sent again with the same ``id`` is the same message.
    """

    subject: str = ""
    recipients: Sequence[str] = ()
    body: str | None = None
    html: str | None = None
    sender: str | None = None
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    reply_to: Sequence[str] | str = ()
    return_path: str | None = None
    message_id: str | None = None
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    attachments: list[Attachment] = field(default_factory=list)
    options: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def attach(self, filename: str, content_type: str | None, data: bytes, **more: Any) -> None:
        """Add a file to the message."""
        self.attachments.append(Attachment(filename, data, content_type, **more))

    def fields(self, default_sender: str | None) -> dict[str, Any]:
        """Return the fields of ``add-messages``."""
        given = {name: getattr(self, name) for name in _MAIL_FIELDS}
        fields = {name: value for name, value in given.items() if value or name == "subject"}
        if self.body is not None:
            fields["body"] = self.body
        if self.html is not None:
            fields["body_html"] = self.html
        return {
            "id": self.id,
            "from": self.sender or default_sender or "",
            "to": list(self.recipients),
            "headers": dict(self.extra_headers),
            "attachments": [_fields_of(each) for each in self.attachments],
            **fields,
            **self.options,
        }


class Mail:
    """The extension. Settings: MAIL_PROXY_URL, MAIL_PROXY_TOKEN, MAIL_DEFAULT_SENDER."""

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Make the client of an application."""
        app.config.setdefault("MAIL_PROXY_URL", "http://127.0.0.1:8000")
        app.config.setdefault("MAIL_PROXY_TOKEN", None)
        app.config.setdefault("MAIL_DEFAULT_SENDER", None)
        app.extensions[_EXTENSION] = MailProxyClient(
            app.config["MAIL_PROXY_URL"], app.config["MAIL_PROXY_TOKEN"]
        )

    @property
    def client(self) -> MailProxyClient:
        """Client of the current application, for all other calls."""
        found: MailProxyClient = current_app.extensions[_EXTENSION]
        return found

    def send(self, message: Message) -> None:
        """Queue a message; it is on the proxy's disk when this returns.

        Raises NotQueued if the message is wrong, and other errors of ``mail_proxy.errors``.
        """
        fields = message.fields(current_app.config["MAIL_DEFAULT_SENDER"])
        for refusal in queue_messages(self.client, [fields]):
            raise NotQueued(refusal.reason)

    def send_message(self, *arguments: Any, **fields: Any) -> None:
        """Make a ``Message`` of the arguments and queue it."""
        self.send(Message(*arguments, **fields))


def reports_blueprint(
    take: Callable[[Report], object], path: str = "/mail-proxy/sync", name: str = "mail_proxy"
) -> Blueprint:
    """Return a blueprint with the view that takes report calls.

    ``take`` is called with each report, at least once. The application's setting
    MAIL_PROXY_SIGNING_SECRET is the tenant's ``signing_secret``.
    """
    blueprint = Blueprint(name, __name__)

    @blueprint.post(path)
    def reports() -> tuple[Response, int]:
        secret, headers = current_app.config["MAIL_PROXY_SIGNING_SECRET"], dict(request.headers)
        status, answer = answer_report_call(request.get_data(), headers, secret, take)
        return jsonify(answer), status

    return blueprint


def _fields_of(attachment: Attachment) -> dict[str, Any]:
    kind = attachment.content_type or mimetypes.guess_type(attachment.filename)[0]
    fields = {
        "filename": attachment.filename,
        "storage_path": f"base64:{base64.b64encode(attachment.data).decode()}",
        "disposition": attachment.disposition,
        "mime_type": kind,
        "content_id": attachment.content_id,
    }
    return {name: value for name, value in fields.items() if value is not None}
