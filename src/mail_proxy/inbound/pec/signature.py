"""Verification of the S/MIME signature of a PEC receipt (RFC 8551, RFC 8550)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mail_proxy.errors import ConfigError
from mail_proxy.inbound.addresses import field_address
from mail_proxy.inbound.mime import Part, read_message
from mail_proxy.inbound.pec.ber import NotBer
from mail_proxy.inbound.pec.signed_data import read_signed_data

_MOST_DEPTH = 5
_KINDS = ("application/pkcs7-signature", "application/x-pkcs7-signature")
_UNFIT = (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError)


class SignatureState(StrEnum):
    """Result of a verification; ``UNCHECKED`` if no authorities are configured."""

    VALID = "valid"
    INVALID = "invalid"
    UNCHECKED = "unchecked"


class SignatureCheck:
    """Verifies signatures against the configured authorities."""

    def __init__(self, authorities: Sequence[x509.Certificate]) -> None:
        self._authorities = authorities

    @classmethod
    def of_file(cls, file: Path | None) -> SignatureCheck:
        """Return a check with the certificates of a PEM file; raises ConfigError."""
        if file is None:
            return cls(())
        name = f"pec_ca_file (GMP_PEC_CA_FILE) = {str(file)!r}"
        try:
            return cls(x509.load_pem_x509_certificates(file.read_bytes()))
        except OSError as error:
            raise ConfigError(f"{name}: cannot be read: {error.strerror}") from None
        except ValueError:
            raise ConfigError(f"{name}: has no certificates in PEM") from None

    def check(self, octets: bytes, at: float) -> SignatureState:
        """Verify a mail that arrived ``at`` (Unix seconds).

        Takes time in proportion to the size of the mail; not for the event loop.
        """
        if not self._authorities:
            return SignatureState.UNCHECKED
        is_valid = self._is_valid(read_message(octets), datetime.fromtimestamp(at, UTC))
        return SignatureState.VALID if is_valid else SignatureState.INVALID

    def _is_valid(self, message: Part, at: datetime) -> bool:
        if message.content_type != "multipart/signed" or len(message.parts) < 2:
            return False
        text, signature = message.parts[:2]
        if signature.content_type not in _KINDS or message.parts_start is None:
            return False
        try:
            data = read_signed_data(signature.octets())
        except NotBer:
            return False
        # Signed is the first part with its header, in canonical form (RFC 1847 section 2.1).
        signed = message.source[message.parts_start : text.end].replace(b"\n", b"\r\n")
        sender = field_address(message.header("from") or "")
        for certificate in data.certificates:
            if (
                _is_for_mail(certificate, sender)
                and self._is_trusted(certificate, data.certificates, at)
                and any(signer.has_signed(signed, certificate) for signer in data.signers)
            ):
                return True
        return False

    def _is_trusted(
        self,
        certificate: x509.Certificate,
        others: Sequence[x509.Certificate],
        at: datetime,
        depth: int = 0,
    ) -> bool:
        """Return whether a chain leads from a certificate to an authority."""
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            return False
        if certificate in self._authorities:
            return True
        if depth >= _MOST_DEPTH:
            return False
        if any(_has_issued(each, certificate, at) for each in self._authorities):
            return True
        return any(
            _has_issued(each, certificate, at) and self._is_trusted(each, others, at, depth + 1)
            for each in others
            if each != certificate
        )


def _has_issued(issuer: x509.Certificate, certificate: x509.Certificate, at: datetime) -> bool:
    if issuer.subject != certificate.issuer or not (
        issuer.not_valid_before_utc <= at <= issuer.not_valid_after_utc
    ):
        return False
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints)
        if not constraints.value.ca:
            return False
        certificate.verify_directly_issued_by(issuer)
    except (*_UNFIT, x509.ExtensionNotFound):
        return False
    return True


def _is_for_mail(certificate: x509.Certificate, sender: str) -> bool:
    """Return whether a certificate may sign mails of ``sender`` (RFC 8550 section 3)."""
    try:
        extensions = certificate.extensions
    except _UNFIT:
        return False
    found = set(_subject_addresses(certificate))
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found |= {name.lower() for name in names.get_values_for_type(x509.RFC822Name)}
    except x509.ExtensionNotFound:
        pass
    if found and sender.lower() not in found:
        return False
    try:
        usages = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return True
    allowed = {ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    return bool(usages & allowed)


def _subject_addresses(certificate: x509.Certificate) -> Iterator[str]:
    for each in certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS):
        if isinstance(each.value, str):
            yield each.value.lower()
