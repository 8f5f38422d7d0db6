"""DKIM keys, made here or imported, and the DNS record of their public half."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from mail_proxy.domain.dkim import MAX_PEM_LENGTH, Algorithm
from mail_proxy.features.dkim.signature import SigningKey

PrivateKey = RSAPrivateKey | Ed25519PrivateKey

#: RFC 8301 section 3.2: shorter keys are not safe.
_MIN_RSA_BITS = 2048
#: Signing with 4096 bits holds the event loop for 6 ms, and its record needs DNS over TCP.
_MAX_RSA_BITS = 3072
_RSA_EXPONENT = 65537
_TXT_STRING = 255
_TAG = re.compile(r"\s*([a-z][a-z0-9_]*)\s*=\s*([^;]*)", re.IGNORECASE)


def make_private_key(algorithm: Algorithm) -> str:
    """Return a new private key as PKCS#8 PEM. RSA takes up to a second, on any thread."""
    if algorithm == "rsa-sha256":
        return _pem(rsa.generate_private_key(_RSA_EXPONENT, _MIN_RSA_BITS))
    return _pem(Ed25519PrivateKey.generate())


def check_private_key(pem: str, algorithm: Algorithm) -> str:
    """Return an imported private key in the form of ``make_private_key``.

    ValueError has the reason, and never repeats the key.
    """
    key = _load(pem)
    if isinstance(key, Ed25519PrivateKey):
        found = "ed25519-sha256"
    else:
        found = "rsa-sha256"
        _check_rsa(key)
    if found != algorithm:
        raise ValueError(f"is a key for {found}, not for {algorithm}")
    return _pem(key)


def signing_key(domain: str, selector: str, pem: str) -> SigningKey:
    """Return a stored key, ready to sign; ``pem`` was checked when it was stored."""
    return SigningKey(domain, selector, _load(pem))


def record_value(pem: str) -> str:
    """Return the text of the DKIM TXT record that publishes the public half of a key.

    A TXT record consists of strings of at most 255 octets, which readers join. An RSA key is
    longer: ``split_record`` cuts it as zone files want it.
    """
    key = _load(pem).public_key()
    if isinstance(key, rsa.RSAPublicKey):
        octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k=rsa; p={base64.b64encode(octets).decode()}"
    octets = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"v=DKIM1; k=ed25519; p={base64.b64encode(octets).decode()}"


def split_record(value: str) -> list[str]:
    """Cut the text of a TXT record into strings of at most 255 octets.

    RFC 1035 section 3.3 sets this limit.
    """
    return [value[i : i + _TXT_STRING] for i in range(0, len(value), _TXT_STRING)]


def publishes_same_key(expected: str, found: str) -> bool:
    """Return whether two TXT records publish the same key, with any spaces and flags.

    A record that is revoked (empty ``p=``), allows no SHA-256 or no mail does not match.
    """
    ours, theirs = _tags(expected), _tags(found)
    return (
        theirs.get("v", "DKIM1") == "DKIM1"
        and theirs.get("k", "rsa") == ours["k"]
        and theirs.get("p") == ours["p"]
        and "sha256" in theirs.get("h", "sha256").split(":")
        and not {"*", "email"}.isdisjoint(theirs.get("s", "*").split(":"))
    )


def _tags(record: str) -> Mapping[str, str]:
    """Return the tags of a record; spaces inside values mean nothing."""
    found = (_TAG.fullmatch(tag) for tag in record.split(";"))
    return {tag[1]: "".join(tag[2].split()) for tag in found if tag}


def _load(pem: str) -> PrivateKey:
    if len(pem) > MAX_PEM_LENGTH:
        raise ValueError(f"is longer than {MAX_PEM_LENGTH} characters")
    if "BEGIN PRIVATE KEY" not in pem:
        raise ValueError("is not an unencrypted private key in PKCS#8 PEM form")
    try:
        # The library's own check looks for prime numbers with the interpreter lock held, for
        # 50 to 100 ms in which no mail goes out. ``_check_rsa`` looks at the rest of it.
        key = load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("is not an unencrypted private key in PKCS#8 PEM form") from None
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise ValueError("is neither an RSA nor an Ed25519 key")
    return key


def _check_rsa(key: RSAPrivateKey) -> None:
    """Prove that the numbers of a key belong together, and that it signs.

    Its two factors are not tested for being prime: a bad key harms only its own domain.
    """
    if not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
        raise ValueError(
            f"has {key.key_size} bits; allowed for RSA: {_MIN_RSA_BITS} to {_MAX_RSA_BITS}"
        )
    if not _belong_together(key.private_numbers()):
        raise ValueError("is a damaged RSA key")
    try:
        signature = key.sign(b"", PKCS1v15(), SHA256())
        key.public_key().verify(signature, b"", PKCS1v15(), SHA256())
    except (ValueError, InvalidSignature):
        raise ValueError("is a damaged RSA key") from None


def _belong_together(numbers: rsa.RSAPrivateNumbers) -> bool:
    public = numbers.public_numbers
    p, q, d = numbers.p, numbers.q, numbers.d
    shorter_half = public.n.bit_length() // 2 - 1
    return (
        p * q == public.n
        and p % 2 == q % 2 == public.e % 2 == 1
        and min(p.bit_length(), q.bit_length()) >= shorter_half
        and 65537 <= public.e < 2**32
        and 0 < d < public.n
        and public.e * d % math.lcm(p - 1, q - 1) == 1
        and numbers.dmp1 == d % (p - 1)
        and numbers.dmq1 == d % (q - 1)
        and numbers.iqmp * q % p == 1
    )


def _pem(key: PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
