"""Canonical forms and signatures against the examples of RFC 6376 and RFC 8463."""

from __future__ import annotations

import base64
import re

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.harness import dkim_mails

from mail_proxy.features.dkim.canonical import BodyHash, hash_body, relaxed_fields
from mail_proxy.features.dkim.signature import SigningKey, signature_fields

HASH_OF_NOTHING = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
RFC_8463_KEY = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
HEAD = b"From: a@example.org\r\nTo: b@example.net\r\nSubject: x\r\n"


def test_fields_are_as_in_the_example_of_rfc_6376() -> None:
    assert relaxed_fields(b"A: X\r\nB : Y\t\r\n\tZ  \r\n") == [(b"a", b"X"), (b"b", b"Y Z")]


def test_a_body_is_as_in_the_example_of_rfc_6376() -> None:
    assert hash_body([b" C \r\nD \t E\r\n\r\n\r\n"]) == hash_body([b" C\r\nD E\r\n"])
    assert hash_body([b" C\r\nD E\r\n"]) != hash_body([b"C\r\nD E\r\n"])


def test_a_body_has_the_hash_of_rfc_8463() -> None:
    body = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
    found = base64.b64encode(hash_body([body])).decode()
    assert found == "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="


@pytest.mark.parametrize("body", [b"", b"\r\n", b"\r\n\r\n\r\n", b" \r\n\t\r\n"])
def test_an_empty_body_has_the_hash_of_nothing(body: bytes) -> None:
    assert base64.b64encode(hash_body([body])).decode() == HASH_OF_NOTHING


@pytest.mark.parametrize("unit", [b"\r\n", b" ", b" \r\n"])
def test_endless_blank_lines_and_spaces_take_no_memory(unit: bytes) -> None:
    body = BodyHash()
    for _ in range(1000):
        body.update(unit * 1000)
        assert sum(len(v) for v in vars(body).values() if isinstance(v, bytes)) <= 2
    assert base64.b64encode(body.digest()).decode() == HASH_OF_NOTHING


def named(fields: bytes) -> list[str]:
    match = re.search(rb"h=([^;]*);", fields)
    assert match
    return re.sub(r"\s", "", match[1].decode()).split(":")


def fields_of(head: bytes) -> bytes:
    return signature_fields(head, hash_body([]), dkim_mails.both_keys()[1:], 1)


def test_from_is_named_once_more_than_it_occurs() -> None:
    assert named(fields_of(HEAD)).count("from") == 2
    assert named(fields_of(HEAD + b"From: c@example.org\r\n")).count("from") == 3


def test_all_documented_fields_that_occur_are_signed() -> None:
    documented = [
        "to", "cc", "subject", "date", "message-id", "reply-to", "mime-version", "content-type",
        "content-transfer-encoding", "list-id", "list-unsubscribe", "list-unsubscribe-post",
    ]  # fmt: skip
    others = ["received", "x-genro-mail-id", "return-path"]
    head = b"".join(f"{name}: 1\r\n".encode() for name in ["from", *documented, *others])
    assert sorted(named(fields_of(head))) == sorted(["from", "from", *documented])


def test_a_name_that_would_end_the_tag_is_not_signed() -> None:
    assert named(fields_of(HEAD + b"List-x;y: 1\r\n")) == named(fields_of(HEAD))


def test_there_is_no_length_tag_and_both_canonical_forms_are_relaxed() -> None:
    fields = fields_of(HEAD).decode()
    assert "l=" not in fields
    assert "c=relaxed/relaxed" in fields
    assert all(len(line) <= 78 for line in fields.split("\r\n"))


def test_a_domain_that_has_already_signed_does_not_sign_again() -> None:
    signed = fields_of(HEAD) + HEAD
    assert fields_of(signed) == b""
    other = Ed25519PrivateKey.from_private_bytes(base64.b64decode(RFC_8463_KEY))
    key = SigningKey("football.example.com", "brisbane", other)
    assert b"d=football.example.com" in signature_fields(signed, hash_body([]), [key], 1)


def test_a_signature_of_the_same_mail_and_second_is_the_same() -> None:
    assert fields_of(HEAD) == fields_of(HEAD)
