"""DKIM keys: made, imported, refused, published."""

from __future__ import annotations

import base64
import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from tests.harness import dkim_mails

from mail_proxy.domain.dkim import record_name
from mail_proxy.features.dkim.keys import (
    check_private_key,
    publishes_same_key,
    record_value,
    split_record,
)

RFC_8463_KEY = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def damaged() -> str:
    """An RSA key whose private exponent belongs to another key."""
    text = dkim_mails.private_keys()["rsa"]
    lines = text.splitlines()
    octets = bytearray(base64.b64decode("".join(lines[1:-1])))
    octets[600] ^= 1
    body = base64.b64encode(bytes(octets)).decode()
    return "\n".join([lines[0], *re.findall(".{1,64}", body), lines[-1], ""])


def test_the_record_of_an_ed25519_key_is_that_of_rfc_8463() -> None:
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(RFC_8463_KEY))
    expected = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    assert record_value(pem(key)) == expected
    assert record_name("example.com", "brisbane") == "brisbane._domainkey.example.com"


@pytest.mark.parametrize("selector", ["rsa", "ed"])
def test_an_imported_key_stays_the_same(selector: str) -> None:
    algorithm = "rsa-sha256" if selector == "rsa" else "ed25519-sha256"
    text = dkim_mails.private_keys()[selector]
    assert check_private_key(text, algorithm) == text
    assert check_private_key(f"\n{text.strip()}\n", algorithm) == text


def test_a_key_for_the_other_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="is a key for ed25519-sha256, not for rsa-sha256"):
        check_private_key(dkim_mails.private_keys()["ed"], "rsa-sha256")


@pytest.mark.parametrize("bits", [1024, 4096])
def test_an_rsa_key_that_is_too_short_or_too_long_is_refused(bits: int) -> None:
    key = pem(rsa.generate_private_key(65537, bits))
    with pytest.raises(ValueError, match=f"has {bits} bits; allowed for RSA: 2048 to 3072"):
        check_private_key(key, "rsa-sha256")


def test_a_small_exponent_is_refused() -> None:
    with pytest.raises(ValueError, match="damaged"):
        check_private_key(pem(rsa.generate_private_key(3, 2048)), "rsa-sha256")


def test_a_damaged_key_is_refused() -> None:
    with pytest.raises(ValueError, match=r"damaged RSA key|PKCS#8"):
        check_private_key(damaged(), "rsa-sha256")


def test_other_keys_are_refused_and_not_repeated() -> None:
    key = rsa.generate_private_key(65537, 2048)
    texts = [
        "",
        "secret",
        "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\u00fc",
        pem(ec.generate_private_key(ec.SECP256R1())),
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode(),
        key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
        ).decode(),
        "x" * 5000,
    ]
    for text in texts:
        with pytest.raises(ValueError) as caught:
            check_private_key(text, "rsa-sha256")
        assert "secret" not in str(caught.value)


def test_a_long_record_is_cut_into_strings_of_255_octets() -> None:
    value = record_value(dkim_mails.private_keys()["rsa"])
    assert len(value) == 410
    assert [len(piece) for piece in split_record(value)] == [255, 155]
    assert "".join(split_record(value)) == value


@pytest.mark.parametrize(
    ("found", "same"),
    [
        ("v=DKIM1; k=ed25519; p=AAAA", True),
        ("k=ed25519;p=AA AA;", True),
        (" v = DKIM1 ; p=AAAA; k=ed25519; t=y; n=note; h=sha1:sha256; s=email", True),
        ("v=DKIM1; k=ed25519; p=AAAB", False),
        ("v=DKIM1; p=AAAA", False),
        ("v=DKIM1; k=ed25519; p=", False),
        ("v=DKIM1; k=ed25519; p=AAAA; h=sha1", False),
        ("v=DKIM1; k=ed25519; p=AAAA; s=tlsrpt", False),
        ("v=DKIM2; k=ed25519; p=AAAA", False),
        ("v=spf1 -all", False),
        ("", False),
    ],
)
def test_records_are_compared_by_what_they_mean(found: str, same: bool) -> None:
    assert publishes_same_key("v=DKIM1; k=ed25519; p=AAAA", found) is same
