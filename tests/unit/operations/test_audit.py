"""The audit log keeps requests without secrets and contents of mails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import orjson
import pytest
from pydantic import Field

from mail_proxy.wire.accounts import AccountIn
from mail_proxy.wire.fields import Redacted, Request, Secret
from mail_proxy.wire.new_messages import MessageIn
from mail_proxy.wire.secrets import redacted
from mail_proxy.wire.tenants import NewApiKey, TenantIn

MAIL = {"id": "m", "from": "a@example.org", "to": "b@example.net", "subject": "s"}


class Inner(Request):
    """A part of a feature's settings."""

    sealed: Annotated[str, Redacted()] | None = None
    plain: str = ""


class Planted(Request):
    """A request of a feature; nothing but the types says what its secrets are."""

    name: str
    shibboleth: Secret
    optional: Secret | None = None
    listed: list[Secret] = Field(default_factory=list)
    inner: Inner | None = None
    inners: dict[str, Inner] = Field(default_factory=dict)
    many: list[Inner] = Field(default_factory=list)


@dataclass
class Wrapped:
    """A request that is not a model."""

    shibboleth: Secret
    inner: Planted


PLANTED = Planted.model_validate(
    {
        "name": "shown",
        "shibboleth": "hunter22",
        "optional": "hunter22",
        "listed": ["hunter22"],
        "inner": {"sealed": "hunter22", "plain": "shown"},
        "many": [{"sealed": "hunter22", "plain": "shown"}],
    }
)


@pytest.mark.parametrize(
    "request_",
    [
        AccountIn.model_validate({"id": "a", "host": "h", "password": "hunter22"}),
        TenantIn.model_validate(
            {"id": "t", "client_auth": {"method": "bearer", "token": "hunter22"}}
        ),
        TenantIn.model_validate(
            {"id": "t", "client_auth": {"method": "basic", "user": "u", "password": "hunter22"}}
        ),
        TenantIn.model_validate({"id": "t", "signing_secret": "whsec_hunter22" + "x" * 24}),
        MessageIn.model_validate({**MAIL, "body": "hunter22", "body_html": "hunter22"}),
        PLANTED,
        Wrapped("hunter22", PLANTED),
        {"deep": [{"deeper": [{"api_key": "hunter22"}]}]},
    ],
)
def test_secrets_and_contents_are_redacted_wherever_they_are(request_: Any) -> None:
    kept = orjson.dumps(redacted(request_))
    assert b"hunter22" not in kept
    assert b"********" in kept


def test_a_field_is_redacted_by_its_type_alone() -> None:
    assert redacted(PLANTED) == {
        "name": "shown",
        "shibboleth": "********",
        "optional": "********",
        "listed": "********",
        "inner": {"sealed": "********", "plain": "shown"},
        "many": [{"sealed": "********", "plain": "shown"}],
    }


def test_models_in_a_mapping_are_redacted_by_their_types() -> None:
    planted = Planted(name="n", shibboleth="s", inners={"one": Inner(sealed="hunter22")})
    assert redacted(planted)["inners"] == {"one": {"sealed": "********"}}


def test_the_rest_is_kept_as_it_was_given_and_nothing_is_added() -> None:
    request = AccountIn.model_validate(
        {"id": "a", "host": "h", "port": 25, "password": None, "tls": "ssl"}
    )
    assert redacted(request) == {
        "id": "a",
        "host": "h",
        "port": 25,
        "password": None,
        "tls": "ssl",
    }
    assert redacted(NewApiKey(id="acme", expires_at=4e9)) == {"id": "acme", "expires_at": 4e9}
    assert redacted(None) is None
