"""Signatures against a known one, and the secrets that make them."""

from __future__ import annotations

import base64

import pytest

from mail_proxy.domain.tenant import ClientAuth, Tenant, signing_key
from mail_proxy.reporting.signing import signature_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_signature_that_is_known_from_the_standard() -> None:
    id_, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}'
    assert signature_headers([SECRET], id_, 1614265330.9, body) == {
        b"webhook-id": id_.encode(),
        b"webhook-timestamp": b"1614265330",
        b"webhook-signature": b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert signature_headers([], id_, 1614265330.9, body) == {}


@pytest.mark.parametrize("count", [24, 32, 33, 64])
@pytest.mark.parametrize("padding", [True, False])
def test_keys_of_24_to_64_bytes(count: int, padding: bool) -> None:
    text = base64.b64encode(bytes(range(count))).decode()
    assert signing_key("whsec_" + (text if padding else text.rstrip("="))) == bytes(range(count))


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        SECRET + "ä",
        SECRET[:-1] + "-",
        SECRET + "A",
        SECRET + "\n",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
    ],
)
def test_all_these_are_no_secrets(secret: str) -> None:
    with pytest.raises(ValueError, match=r"^must be whsec_ and the base64 of 24 to 64"):
        signing_key(secret)


@pytest.mark.parametrize(
    ("current", "previous", "changed_at", "secrets"),
    [
        (None, None, None, []),
        (None, "old", 1000.0, []),
        ("new", None, None, ["new"]),
        ("new", "old", 1000.0, ["new", "old"]),
        ("new", "old", 1000.0 - 86_400, ["new"]),
        ("new", "new", 1000.0, ["new"]),
    ],
)
def test_which_secrets_sign(
    current: str | None, previous: str | None, changed_at: float | None, secrets: list[str]
) -> None:
    tenant = Tenant(
        "t",
        True,
        None,
        ClientAuth(),
        None,
        None,
        frozenset(),
        signing_secret=current,
        previous_signing_secret=previous,
        signing_secret_changed_at=changed_at,
    )
    assert tenant.signing_secrets(1000.0) == secrets
    assert "old" not in repr(tenant)
    assert "new" not in repr(tenant)
