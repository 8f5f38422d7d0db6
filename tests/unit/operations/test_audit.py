"""What the audit log keeps of a request"""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from mail_proxy.operations.audit import masked
from mail_proxy.operations.tenants import ForTenant
from mail_proxy.wire.accounts import AccountIn
from mail_proxy.wire.tenants import ApiKeyIn, TenantIn


@pytest.mark.parametrize(
    "request_",
    [
        AccountIn.model_validate(
            {"id": "a", "host": "h", "password": "hunter22", "imap_password": "hunter22"}
        ),
        TenantIn.model_validate(
            {"id": "t", "client_auth": {"method": "bearer", "token": "hunter22"}}
        ),
        TenantIn.model_validate(
            {"id": "t", "client_auth": {"method": "basic", "user": "u", "password": "hunter22"}}
        ),
        TenantIn.model_validate({"id": "t", "signing_secret": "whsec_hunter22" + "x" * 24}),
        {"messages": [{"id": "m", "body": "hunter22", "body_html": "hunter22"}]},
        {"deep": [{"deeper": ({"api_key": "hunter22"},)}]},
    ],
)
def test_secrets_and_bodies_are_masked_wherever_they_are(request_: Any) -> None:
    kept = orjson.dumps(masked(request_))
    assert b"hunter22" not in kept
    assert b"********" in kept


def test_the_rest_is_kept_as_it_was_given_and_nothing_is_added() -> None:
    request = AccountIn.model_validate({"id": "a", "host": "h", "port": 25, "password": None})
    assert masked(request) == {"id": "a", "host": "h", "port": 25, "password": None}


def test_requests_that_are_no_models_are_kept_too() -> None:
    request = ForTenant("acme", ApiKeyIn(expires_at=4e9))
    assert masked(request) == {"id": "acme", "request": {"expires_at": 4e9}}
    assert masked(None) is None
