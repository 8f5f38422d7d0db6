"""Receipts of Italian certified mail (PEC, RFC 6109), as providers sign them.

receipts = PecReceipts()
accepted = receipts.about(sent_octets, "accettazione")
delivered = receipts.about(sent_octets, "avvenuta-consegna", recipient="mario@pec.example.org")
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.utils import format_datetime, getaddresses
from uuid import uuid4
from xml.sax.saxutils import escape, quoteattr

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: Subjects of receipts begin with these words.
_TITLES = {
    "accettazione": "ACCETTAZIONE",
    "non-accettazione": "AVVISO DI NON ACCETTAZIONE",
    "presa-in-carico": "PRESA IN CARICO",
    "avvenuta-consegna": "CONSEGNA",
    "preavviso-errore-consegna": "AVVISO DI MANCATA CONSEGNA PER SUPERAMENTO TEMPO MASSIMO",
    "errore-consegna": "AVVISO DI MANCATA CONSEGNA",
    "mancata-consegna": "AVVISO DI MANCATA CONSEGNA",
    "rilevazione-virus": "PROBLEMA DI SICUREZZA",
}
_OF_MESSAGE = ("accettazione", "non-accettazione")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_LINE = 76


class PecReceipts:
    """Provider that writes receipts about messages.

    ``authority`` is the certificate (PEM) that its signatures lead to. It is made for this object
    alone. Without ``signed``, receipts have no signature.
    """

    def __init__(
        self,
        domain: str = "pec.example.org",
        provider: str = "Gestore PEC Example S.p.A.",
        *,
        signed: bool = True,
    ) -> None:
        self.address = f"posta-certificata@{domain}"
        self.provider = provider
        self._domain = domain
        self._signed = signed
        self._key = ec.generate_private_key(ec.SECP256R1())
        authority_key = ec.generate_private_key(ec.SECP256R1())
        authority = _certificate("PEC Test Authority", authority_key, None, None)
        self.authority = authority.public_bytes(Encoding.PEM)
        issuer = authority, authority_key
        self._certificate = _certificate("Posta Certificata", self._key, self.address, issuer)

    def about(
        self,
        original: bytes,
        kind: str,
        *,
        recipient: str | None = None,
        recipients: Sequence[str] | None = None,
        error: str | None = None,
        reason: str | None = None,
        at: datetime | None = None,
    ) -> bytes:
        """Return the receipt ``kind`` (as in X-Ricevuta) about a message.

        ``recipient`` is the one that it is about, ``recipients`` are all of the message; without
        them, those in its header. ``error`` and ``reason`` are for receipts of failures.
        """
        message = message_from_bytes(original, policy=policy.default)
        at = at or datetime.now(UTC)
        header = [str(message[name]) for name in ("To", "Cc") if message[name]]
        everyone = recipients or [address for _, address in getaddresses(header)]
        certification = self._certification(message, kind, recipient, everyone, error, reason, at)
        includes = original if kind == "avvenuta-consegna" else None
        body = _mixed(kind, certification, includes)
        fields = {
            "X-Ricevuta": kind,
            "X-Riferimento-Message-ID": str(message["Message-ID"]),
            "Date": format_datetime(at),
            "From": self.address,
            "To": str(message["From"]),
            "Subject": f"{_TITLES[kind]}: {message['Subject']}".replace("\n", " "),
            "Message-ID": f"<{uuid4().hex}@{self._domain}>",
            "MIME-Version": "1.0",
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()
        return head + (self._sign(body) if self._signed else body)

    def envelope(self, inner: bytes, *, sender: str, to: str) -> bytes:
        """Return a transport envelope (``X-Trasporto``) with a mail of ``sender`` in it."""
        fields = (
            f"X-Trasporto: posta-certificata\r\nDate: {format_datetime(datetime.now(UTC))}\r\n"
            f'From: "Per conto di: {sender}" <{self.address}>\r\nTo: {to}\r\n'
            f"Subject: POSTA CERTIFICATA\r\nMessage-ID: <{uuid4().hex}@{self._domain}>\r\n"
            "MIME-Version: 1.0\r\n"
        )
        return fields.encode() + self._sign(_mixed("posta-certificata", "", inner))

    def _certification(
        self,
        message: object,
        kind: str,
        recipient: str | None,
        everyone: Sequence[str],
        error: str | None,
        reason: str | None,
        at: datetime,
    ) -> str:
        subject, message_id = message["Subject"], message["Message-ID"]  # type: ignore[index]
        sender = getaddresses([str(message["From"])])[0][1]  # type: ignore[index]
        addressed = "".join(
            f'<destinatari tipo="certificato">{escape(each)}</destinatari>' for each in everyone
        )
        about = "" if kind in _OF_MESSAGE else recipient or (everyone[0] if everyone else "")
        word = "ricezione" if kind == "presa-in-carico" else "consegna"
        zone = at.strftime("%z") or "+0000"
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<postacert tipo={quoteattr(kind)} errore={quoteattr(error or 'nessuno')}>"
            f"<intestazione><mittente>{escape(sender)}</mittente>{addressed}"
            f"<risposte>{escape(sender)}</risposte><oggetto>{escape(str(subject))}</oggetto>"
            f"</intestazione><dati><gestore-emittente>{escape(self.provider)}</gestore-emittente>"
            f'<data zona="{zone}"><giorno>{at:%d/%m/%Y}</giorno><ora>{at:%H:%M:%S}</ora></data>'
            f"<identificativo>{uuid4().hex}@{self._domain}</identificativo>"
            f"<msgid>{escape(str(message_id))}</msgid>"
            + (f"<{word}>{escape(about)}</{word}>" if about else "")
            + (f"<errore-esteso>{escape(reason)}</errore-esteso>" if reason else "")
            + "</dati></postacert>\n"
        )

    def _sign(self, body: bytes) -> bytes:
        """Return a body as multipart/signed (RFC 1847, RFC 8551)."""
        builder = pkcs7.PKCS7SignatureBuilder().set_data(body)
        builder = builder.add_signer(self._certificate, self._key, SHA256())
        options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
        signature = _in_base64(builder.sign(Encoding.DER, options))
        mark = f"signed-{uuid4().hex}"
        return (
            (
                'Content-Type: multipart/signed; protocol="application/x-pkcs7-signature";\r\n'
                f'\tmicalg=sha-256; boundary="{mark}"\r\n\r\n--{mark}\r\n'
            ).encode()
            + body
            + (
                f"\r\n--{mark}\r\nContent-Type: application/x-pkcs7-signature; name=smime.p7s\r\n"
                "Content-Transfer-Encoding: base64\r\n"
                f"Content-Disposition: attachment; filename=smime.p7s\r\n\r\n{signature}"
                f"--{mark}--\r\n"
            ).encode()
        )


def _mixed(kind: str, certification: str, includes: bytes | None) -> bytes:
    """Return the text for people, ``daticert.xml``, and the message if it is included."""
    mark = f"mixed-{uuid4().hex}"
    parts = [
        f"Content-Type: text/plain; charset=utf-8\r\n\r\nRicevuta: {kind}\r\n".encode(),
    ]
    if certification:
        parts.append(
            b"Content-Type: application/xml; name=daticert.xml\r\n"
            b"Content-Transfer-Encoding: base64\r\n"
            b"Content-Disposition: inline; filename=daticert.xml\r\n\r\n"
            + _in_base64(certification.encode()).encode()
        )
    if includes is not None:
        parts.append(
            b"Content-Type: message/rfc822; name=postacert.eml\r\n\r\n"
            + _LINE_END.sub(b"\r\n", includes)
        )
    head = f'Content-Type: multipart/mixed; boundary="{mark}"\r\n\r\n'.encode()
    line = f"--{mark}\r\n".encode()
    return head + b"".join(line + part + b"\r\n" for part in parts) + f"--{mark}--\r\n".encode()


def _in_base64(octets: bytes) -> str:
    text = base64.b64encode(octets).decode()
    return "".join(f"{text[i : i + _LINE]}\r\n" for i in range(0, len(text), _LINE))


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    address: str | None,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
) -> x509.Certificate:
    """Return the certificate of an authority or, with ``address``, of a signer."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=address is None, path_length=None), critical=True)
    )
    if address is not None:
        names = x509.SubjectAlternativeName([x509.RFC822Name(address)])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(names, critical=False).add_extension(usage, critical=False)
    return builder.sign(issuer[1] if issuer else key, SHA256())
