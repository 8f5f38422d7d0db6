"""S/MIME signatures of receipts: valid ones, and every way to be none."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mail_proxy.errors import ConfigError
from mail_proxy.inbound.pec.ber import NotBer, read_ber
from mail_proxy.inbound.pec.signature import SignatureCheck, SignatureState
from mail_proxy.testing.pec_receipts import PecReceipts

ORIGINAL = (
    b"From: shop@pec.example.com\r\nTo: mario@pec.example.org\r\nSubject: Fattura\r\n"
    b"Message-ID: <1@pec.example.com>\r\n\r\nbody\r\n"
)


@pytest.fixture(scope="module")
def receipts() -> PecReceipts:
    return PecReceipts()


@pytest.fixture(scope="module")
def receipt(receipts: PecReceipts) -> bytes:
    return receipts.about(ORIGINAL, "avvenuta-consegna")


@pytest.fixture
def check(receipts: PecReceipts, tmp_path: Path) -> SignatureCheck:
    return trusting(receipts.authority, tmp_path)


def trusting(authority: bytes, folder: Path) -> SignatureCheck:
    file = folder / "authorities.pem"
    file.write_bytes(authority)
    return SignatureCheck.of_file(file)


def test_a_receipt_of_a_certified_provider_is_valid(check: SignatureCheck, receipt: bytes) -> None:
    assert check.check(receipt, time.time()) is SignatureState.VALID


def test_line_ends_of_the_way_do_no_harm(check: SignatureCheck, receipt: bytes) -> None:
    assert check.check(receipt.replace(b"\r\n", b"\n"), time.time()) is SignatureState.VALID


def test_without_authorities_nothing_is_checked(receipt: bytes) -> None:
    state = SignatureCheck.of_file(None).check(receipt.replace(b"Ricevuta:", b"x"), time.time())
    assert state is SignatureState.UNCHECKED


_YEARS = 10 * 365 * 86_400
CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda mail: mail.replace(b"Ricevuta: avv", b"Ricevuta: Avv"),
    "sender": lambda mail: mail.replace(b"From: posta-certificata@", b"From: another@"),
    "no signature": lambda mail: mail.replace(b"application/x-pkcs7-signature;", b"text/plain;"),
    "cut off": lambda mail: mail[: len(mail) - 300],
    "not signed": lambda mail: mail.replace(b"multipart/signed", b"multipart/mixed"),
    "other digest": lambda mail: mail.replace(b"\r\n\r\nMI", b"\r\n\r\nMX"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_receipt_is_invalid(check: SignatureCheck, receipt: bytes, name: str) -> None:
    changed = CHANGES[name](receipt)
    assert changed != receipt
    assert check.check(changed, time.time()) is SignatureState.INVALID


def test_a_receipt_of_another_authority_is_invalid(receipt: bytes, tmp_path: Path) -> None:
    other = trusting(PecReceipts().authority, tmp_path)
    assert other.check(receipt, time.time()) is SignatureState.INVALID


@pytest.mark.parametrize("years", [-1, 1])
def test_a_certificate_counts_in_its_time_only(
    check: SignatureCheck, receipt: bytes, years: int
) -> None:
    assert check.check(receipt, time.time() + years * _YEARS) is SignatureState.INVALID


@pytest.mark.parametrize("streamed", [[], ["-stream"]], ids=["definite", "indefinite"])
def test_signatures_of_openssl_are_read(tmp_path: Path, streamed: list[str]) -> None:
    """Providers use OpenSSL, whose signatures may have indefinite lengths (BER)."""
    _openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "ca.pem"),
        *("-subj", "/CN=provider/emailAddress=posta-certificata@pec.example.org", "-days", "2"),
        folder=tmp_path,
    )
    (tmp_path / "body").write_bytes(b"Content-Type: text/plain\r\n\r\naccettazione\r\n")
    _openssl(
        *("cms", "-sign", "-in", "body", "-out", "signed", "-signer", "ca.pem"),
        *("-inkey", "key.pem", "-crlfeol", "-from", "posta-certificata@pec.example.org"),
        *streamed,
        folder=tmp_path,
    )
    check = trusting((tmp_path / "ca.pem").read_bytes(), tmp_path)
    signed = (tmp_path / "signed").read_bytes()
    assert check.check(signed, time.time()) is SignatureState.VALID
    changed = signed.replace(b"accettazione", b"non-accettazione")
    assert check.check(changed, time.time()) is SignatureState.INVALID


def _openssl(*arguments: str, folder: Path) -> None:
    try:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")


@pytest.mark.parametrize("text", [b"", b"no certificates"])
def test_a_file_without_certificates_is_refused_by_name(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(ConfigError, match="pec_ca_file"):
        trusting(text, tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        SignatureCheck.of_file(tmp_path / "missing")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x30",
        b"\x30\x05\x02",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x85\0\0\0\0\0",
        b"\x1f\x81\0\0",
        b"\x30\x80" * 200_000,
        b"\x30\x80" + b"\x02\0" * 200_000,
    ],
    ids=range(8),
)
def test_octets_that_are_no_signature_are_refused_at_once(octets: bytes) -> None:
    with pytest.raises(NotBer):
        read_ber(octets)
