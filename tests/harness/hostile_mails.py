"""Mails that are made to cost time or memory, by name, for any number of octets"""

from __future__ import annotations

from collections.abc import Callable

HEADER = (
    b"From: MAILER-DAEMON@example.org\nTo: a@example.com\n"
    b"Subject: Undelivered Mail Returned to Sender\n"
)
_DAEMON = b"From: MAILER-DAEMON@example.org\nSubject: "
_RECEIPT = (
    b"X-Ricevuta: accettazione\nContent-Type: application/xml; name=daticert.xml\n\n<postacert"
)
_STATUS = b"Content-Type: message/delivery-status\n\n"
_MULTIPART = b"Content-Type: multipart/mixed; boundary=x\n\n"


def repeated(piece: bytes, octets: int) -> bytes:
    return piece * (octets // len(piece))


def numbered(piece: str, octets: int) -> bytes:
    return b"".join((piece % n).encode() for n in range(octets // len(piece)))


def nested(levels: int) -> bytes:
    """A multipart in a multipart, and so on"""
    level = 'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n'
    return HEADER + b"".join((level % (n, n)).encode() for n in range(levels)) + b"\n\nx"


def _bodies(*pieces: bytes) -> dict[str, Callable[[int], bytes]]:
    def make(piece: bytes) -> Callable[[int], bytes]:
        return lambda octets: HEADER + b"\n" + repeated(piece, octets)

    return {f"body of {piece!r}": make(piece) for piece in pieces}


def _after(start: bytes, piece: bytes, end: bytes = b"") -> Callable[[int], bytes]:
    return lambda octets: start + repeated(piece, octets) + end


def _numbered(start: bytes, piece: str, end: bytes = b"") -> Callable[[int], bytes]:
    return lambda octets: start + numbered(piece, octets) + end


MAILS: dict[str, Callable[[int], bytes]] = {
    **_bodies(
        b"\0", b" ", b"\n", b"\r", b"@", b"a", b"a@a.", b'"', b'"a@', b"-", b"550 ", b"5.1.1"
    ),
    **_bodies(b"<user@example.com>: 550 unknown\n", b"message-id: <", b"\nFrom: a\nTo: b\n"),
    **_bodies(b"<a@example.org> user mailbox recipient address ", b"user mailbox "),
    **_bodies(
        b"----- original message -----\n", b"Final-Recipient: rfc822;a@b.c\nAction: failed\n"
    ),
    **_bodies("é".encode(), "a\u0301".encode(), b"\x1b$B", "\u00df".encode(), b"\xff"),
    "many recipients": _numbered(HEADER + b"\n", "<u%d@example.com>: 550 unknown\n"),
    "long subject": _after(_DAEMON, b"mail delivery ", b"\n\nx"),
    "encoded words": _after(_DAEMON, b"=?utf-8?q?", b"\n\nx"),
    "folded field": _after(HEADER, b" y\n", b"\nx"),
    "many fields": _after(b"", b"A: b\n", b"\nx"),
    "one line": _after(b"", b"From: x"),
    "parameters": _after(HEADER + b"Content-Type: multipart/report; ", b"a=b; ", b"\n\nx"),
    "quoted parameter": _after(HEADER + b'Content-Type: text/plain; a="', b'\\"', b"\n\nx"),
    "delimiters": _after(HEADER + _MULTIPART, b"--x\n"),
    "longer delimiters": _after(HEADER + _MULTIPART, b"--xy\n"),
    "parts": _after(HEADER + _MULTIPART, b"--x\nContent-Type: text/plain\n\n<a@example.org> 550\n"),
    "nested parts": lambda octets: nested(octets // 50),
    "nested messages": _after(HEADER, b"Content-Type: message/rfc822\n\n", b"x"),
    "records": _after(HEADER + _STATUS, b"Final-Recipient: rfc822;a@b.c\nAction: failed\n\n"),
    "many records": _numbered(
        HEADER + _STATUS, "Final-Recipient: rfc822;a%d@b.c\nAction: failed\nStatus: 5.0.0\n\n"
    ),
    "folded record": _after(HEADER + _STATUS + b"Final-Recipient: rfc822;a@b.c\n", b" x\n"),
    "brackets": _after(HEADER + _STATUS + b"Final-Recipient: rfc822;", b"<"),
    "html of <": _after(HEADER + b"Content-Type: text/html\n\n", b"<"),
    "html tags": _after(HEADER + b"Content-Type: text/html\n\n", b"<td>"),
    "html entities": _after(HEADER + b"Content-Type: text/html\n\n", b"&#x"),
    "html scripts": _after(HEADER + b"Content-Type: text/html\n\n", b"<script>"),
    "base64": _after(HEADER + b"Content-Transfer-Encoding: base64\n\n", b"A=B"),
    "quoted-printable": _after(HEADER + b"Content-Transfer-Encoding: quoted-printable\n\n", b"=\n"),
    "failed recipients": _after(HEADER + b"X-Failed-Recipients: ", b"a@example.org, ", b"\n\nx"),
    "feedback": _after(
        HEADER + b"Content-Type: message/feedback-report\n\n", b"Original-Rcpt-To: a@b.c\n"
    ),
    "recipients of a receipt": _after(_RECEIPT + b">", b"<destinatari>a@b.c</destinatari>"),
    "deep receipt": _after(_RECEIPT + b">", b"<a>"),
    "attributes of a receipt": _numbered(_RECEIPT + b" ", "a%d='' ", b">"),
}
