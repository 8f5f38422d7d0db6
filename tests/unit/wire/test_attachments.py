"""Attachments of a request: what is understood, and what is refused in which words"""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from mail_proxy.domain.attachment import Attachment
from mail_proxy.wire.batches import Rejection, parse_batch
from mail_proxy.wire.new_messages import MessageIn

_MAIL = {"id": "m", "from": "a@example.org", "to": ["b@example.net"], "subject": "s"}
_LONG = "A" * 1_200_000


def handed_in(*attachments: Any) -> MessageIn | Rejection:
    body = orjson.dumps({"messages": [{**_MAIL, "attachments": attachments}]})
    (message,) = parse_batch(body, 1).messages
    assert isinstance(message, MessageIn | Rejection)
    return message


def read(**fields: Any) -> Attachment:
    message = handed_in({"filename": "a", **fields})
    assert isinstance(message, MessageIn), message.reason
    (attachment,) = message.mail("unique").attachments
    return attachment


@pytest.mark.parametrize(
    ("path", "mode", "content"),
    [
        ("base64:QQ==", "base64", "QQ=="),
        ("BASE64:Q Q\r\n==", "base64", "QQ=="),
        ("https://example.org/a", "http_url", None),
        ("/srv/a.pdf", "filesystem", None),
        ("invoices/1", "endpoint", None),
        ("ftp", "endpoint", None),
        ("mount:a/b.pdf", None, None),
    ],
)
def test_the_mode_is_the_form_of_the_path(path: str, mode: str | None, content: str | None) -> None:
    attachment = read(storage_path=path)
    assert attachment.mode == mode
    assert attachment.path == (content or path)


def test_a_long_content_is_kept_in_pieces() -> None:
    assert len(read(storage_path=f"base64:{_LONG}").path) == len(_LONG)


@pytest.mark.parametrize(
    ("name", "sent", "md5"),
    [
        ("report_{MD5:%s}.pdf" % ("aB" * 16), "report.pdf", "ab" * 16),
        ("{MD5:%s}report.pdf" % ("0" * 32), "report.pdf", "0" * 32),
        ("report_{MD5:12}.pdf", "report_{MD5:12}.pdf", None),
    ],
)
def test_the_marker_is_taken_out_of_the_name(name: str, sent: str, md5: str | None) -> None:
    attachment = read(filename=name, storage_path="x")
    assert (attachment.filename, attachment.md5) == (sent, md5)
    assert read(filename=name, storage_path="x", content_md5="1" * 32).md5 == "1" * 32


REFUSED = {
    "storage_path: required": {},
    "storage_path: must not be empty": {"storage_path": ""},
    "storage_path: must be a text": {"storage_path": 1},
    "storage_path: too long; allowed: 4000": {"storage_path": "x" * 4001},
    "storage_path: too long; allowed: 4000 ": {"storage_path": _LONG},
    "storage_path: must not contain control": {"storage_path": "/a\nb"},
    "storage_path: is not base64: '!'": {"storage_path": "base64:!!!!"},
    "storage_path: must not hold user or": {"storage_path": "https://u:p@example.org/"},
    "storage_path: must look like <mount>": {"storage_path": "x", "fetch_mode": "storage"},
    "filename: too long": {"filename": "x" * 256, "storage_path": "x"},
    "filename: must not contain control": {"filename": "a\r\nb", "storage_path": "x"},
    "filename: must have a name": {"filename": "{MD5:%s}" % ("a" * 32), "storage_path": "x"},
    "fetch_mode: allowed: base64, http_url": {"storage_path": "x", "fetch_mode": "ftp"},
    "mime_type: multipart/mixed cannot": {"storage_path": "x", "mime_type": "multipart/mixed"},
    "mime_type: must look like": {"storage_path": "x", "mime_type": "text"},
    "content_md5: must be 32": {"storage_path": "x", "content_md5": "a"},
    "content_id: must be": {"storage_path": "x", "content_id": "a b"},
    "disposition: allowed": {"storage_path": "x", "disposition": "form"},
    "auth.token: required": {"storage_path": "x", "auth": {"method": "bearer"}},
    "auth: has no meaning": {"storage_path": "/x", "auth": {"method": "none"}},
    "file_name: unknown field; did you mean filename?": {"storage_path": "x", "file_name": "a"},
    "path: unknown field; did you mean storage_path?": {"path": "x"},
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_mistake_is_named(words: str) -> None:
    rejection = handed_in({"filename": "a", **REFUSED[words]})
    assert isinstance(rejection, Rejection)
    assert f"attachments.0.{words.rstrip()}" in rejection.reason


def test_a_message_has_at_most_100_attachments() -> None:
    rejection = handed_in(*[{"filename": "a", "storage_path": "x"}] * 101)
    assert isinstance(rejection, Rejection)
    assert (rejection.reason, rejection.code) == (
        "attachments: 101 attachments; allowed: 100",
        "too_large",
    )
