"""Raw messages as programs write them: signed, encrypted, eight-bit, with odd headers."""

from __future__ import annotations

import base64
import hashlib
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

PLAIN = (
    b"From: Ann <ann@example.org>\r\n"
    b"To: bob@example.net\r\n"
    b"Subject: About m1\r\n"
    b"Date: Fri, 27 Nov 2026 10:00:00 +0100\r\n"
    b"Message-ID: <given@example.org>\r\n"
    b"X-Genro-Mail-ID: given\r\n"
    b"\r\n"
    b"Hello Bob\r\n.\r\n"
)


def encoded(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def raw_mail(octets: bytes = PLAIN, id_: str = "m1", **fields: Any) -> dict[str, Any]:
    """A raw message as a client hands it in."""
    return {"id": id_, "raw": encoded(octets), **fields}


def without(octets: bytes, *names: bytes) -> bytes:
    """The message without some fields, which are not folded."""
    head, end, body = octets.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(names)]
    return b"\r\n".join(lines) + end + body


def multipart_signed() -> tuple[bytes, bytes]:
    """An S/MIME message with a detached signature, and the part that the signature covers."""
    part = (
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n"
        b"\r\n"
        b"Gr=C3=BC=C3=9Fe \t=20\r\n-- \r\n\r\n\r\n. \r\n..\r\nFrom here\r\n"
    )
    signature = base64.encodebytes(hashlib.sha256(part).digest() * 20).replace(b"\n", b"\r\n")
    octets = (
        b"Received: from a by b; Fri, 27 Nov 2026 09:00:00 +0100\r\n"
        b"MIME-Version: 1.0\r\n"
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n'
        b'\tmicalg=sha-256; boundary="=_b"\r\n'
        b"From:  Ann\r\n <ann@example.org>\r\n"
        b"to:bob@example.net\r\n"
        b"SUBJECT:\t=?iso-8859-1?q?Gr=FC=DFe?=\r\n  und mehr\r\n"
        b"\r\n"
        b"A preamble with a tab \t\r\n"
        b"--=_b\r\n" + part + b"\r\n--=_b\r\n"
        b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + signature + b"--=_b--\r\nEpilogue\r\n"
    )
    return octets, part


def with_attachment(size: int) -> bytes:
    """A message with a part of ``size`` octets, as Python's library writes it."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = "ann@example.org", "bob@example.net", "s"
    message.set_content("See the file\n")
    message.add_attachment(bytes(range(256)) * (size // 256), maintype="image", subtype="png")
    return message.as_bytes()
