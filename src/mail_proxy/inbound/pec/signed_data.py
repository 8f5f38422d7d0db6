"""Reader of CMS SignedData (RFC 5652): certificates, and signatures over a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from mail_proxy.inbound.pec.ber import OBJECT, OCTETS, SEQUENCE, SET, Element, NotBer, read_ber

_MOST_CERTIFICATES = 10
_MOST_SIGNERS = 5
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_MESSAGE_DIGEST = bytes.fromhex("2a864886f70d010904")
_RSA_PSS = bytes.fromhex("2a864886f70d01010a")
#: SHA-1 and MD5 are missing on purpose: others can make two texts with one digest.
_DIGESTS: dict[bytes, type[hashes.HashAlgorithm]] = {
    bytes.fromhex("608648016503040201"): hashes.SHA256,
    bytes.fromhex("608648016503040202"): hashes.SHA384,
    bytes.fromhex("608648016503040203"): hashes.SHA512,
}
_IN_CONTEXT_0 = 0xA0


@dataclass(frozen=True, slots=True)
class Signer:
    """One signature: over ``signed``, or over the text itself if that is None."""

    digest: hashes.HashAlgorithm
    message_digest: bytes | None
    signed: bytes | None
    is_pss: bool
    signature: bytes

    def has_signed(self, text: bytes, certificate: x509.Certificate) -> bool:
        """Return whether the key of a certificate made this signature over ``text``."""
        signed = text
        if self.signed is not None:
            if _digest_of(text, self.digest) != self.message_digest:
                return False
            signed = self.signed
        key = certificate.public_key()
        try:
            if isinstance(key, rsa.RSAPublicKey):
                pss = padding.PSS(padding.MGF1(self.digest), padding.PSS.AUTO)
                scheme = pss if self.is_pss else padding.PKCS1v15()
                key.verify(self.signature, signed, scheme, self.digest)
                return True
            if isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(self.signature, signed, ec.ECDSA(self.digest))
                return True
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            pass
        return False


@dataclass(frozen=True, slots=True)
class SignedData:
    """The certificates and signatures of a SignedData."""

    certificates: Sequence[x509.Certificate]
    signers: Sequence[Signer]


def read_signed_data(octets: bytes) -> SignedData:
    """Return the content of a detached signature; raises NotBer."""
    try:
        kind, wrapped = read_ber(octets).children[:2]
        if kind.content != _SIGNED_DATA:
            raise NotBer("no SignedData")
        (content,) = wrapped.children
        parts = content.children
        certificates = [part for part in parts if part.tag == _IN_CONTEXT_0]
        signers = parts[-1]
        if signers.tag != SET:
            raise NotBer("no signatures")
        return SignedData(
            [each for part in certificates[:1] for each in _certificates(part)],
            [_signer(each) for each in signers.children[:_MOST_SIGNERS]],
        )
    except (IndexError, ValueError) as error:
        raise NotBer(str(error)) from None


def _certificates(part: Element) -> Iterator[x509.Certificate]:
    for each in part.children[:_MOST_CERTIFICATES]:
        if each.tag == SEQUENCE:
            yield x509.load_der_x509_certificate(each.octets)


def _signer(element: Element) -> Signer:
    parts = element.children
    algorithm = _DIGESTS.get(parts[2].children[0].content)
    if algorithm is None:
        raise NotBer("signed with a digest that is not accepted")
    rest = parts[3:]
    signed = message_digest = None
    if rest[0].tag == _IN_CONTEXT_0:
        attributes, rest = rest[0], rest[1:]
        message_digest = _message_digest(attributes)
        # The signature is over the attributes as a SET (RFC 5652 section 5.4).
        signed = bytes([SET]) + attributes.octets[1:]
    method, signature = rest[0].children[0], rest[1]
    if method.tag != OBJECT or signature.tag & ~0x20 != OCTETS:
        raise NotBer("no signature")
    is_pss = method.content == _RSA_PSS
    return Signer(algorithm(), message_digest, signed, is_pss, signature.value)


def _message_digest(attributes: Element) -> bytes | None:
    for attribute in attributes.children:
        name, values = attribute.children[:2]
        if name.content == _MESSAGE_DIGEST:
            return values.children[0].value
    return None


def _digest_of(text: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(text)
    return digest.finalize()
