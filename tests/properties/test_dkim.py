"""What DKIM signs is what a verifier reads, for any mail, cut into any chunks."""

from __future__ import annotations

import hashlib
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.harness import dkim_mails

from mail_proxy.features.dkim.canonical import BodyHash

octets = st.lists(
    st.sampled_from([b"a", b"bc", b" ", b"\t", b"  ", b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\xff"]),
    max_size=40,
)


def hashed_at_once(body: bytes) -> bytes:
    """RFC 6376 section 3.4.4, sentence by sentence."""
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    body = re.sub(rb"[ \t]+\r\n", b"\r\n", body)
    body = re.sub(rb"[ \t]+", b" ", body)
    while body.endswith(b"\r\n\r\n"):
        body = body[:-2]
    return hashlib.sha256(b"" if body == b"\r\n" else body).digest()


@settings(deadline=None)
@given(octets)
def test_a_body_in_chunks_has_the_hash_of_the_whole_body(chunks: list[bytes]) -> None:
    body = BodyHash()
    for chunk in chunks:
        body.update(chunk)
    assert body.digest() == hashed_at_once(b"".join(chunks))


@settings(deadline=None)
@given(dkim_mails.mails, st.integers(1, 100))
def test_both_signatures_of_a_mail_are_valid(mail: bytes, chunk: int) -> None:
    assert dkim_mails.count_valid(dkim_mails.sign(mail, chunk=chunk), 2) == 2


@settings(deadline=None)
@given(dkim_mails.composed)
def test_a_field_that_is_added_or_changed_makes_the_signatures_invalid(mail: bytes) -> None:
    signed = dkim_mails.sign(mail)
    assert dkim_mails.count_valid(signed.replace(b"\r\nFrom: ", b"\r\nFrom: x", 1), 2) == 0
    second_sender = signed.replace(b"\r\nFrom: ", b"\r\nFrom: x@y.example\r\nFrom: ", 1)
    assert dkim_mails.count_valid(second_sender, 2) == 0
