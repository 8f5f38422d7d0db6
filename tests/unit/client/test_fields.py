"""The typed fields of the client's requests are those of the service."""

from __future__ import annotations

from typing import Any, Required, get_origin, get_type_hints

import pytest
from pydantic import BaseModel

from mail_proxy.client import fields
from mail_proxy.wire.account_auth import AccountAuthIn
from mail_proxy.wire.accounts import AccountIn, UnsavedAccountTest
from mail_proxy.wire.attachments import AttachmentIn
from mail_proxy.wire.bounces import BounceMailboxIn
from mail_proxy.wire.instance import RuntimeSettings
from mail_proxy.wire.new_messages import MessageIn
from mail_proxy.wire.new_raw_messages import RawMessageIn
from mail_proxy.wire.tenants import ClientAuthIn, RateLimits, TenantFields
from mail_proxy.wire.unsubscribe import ListUnsubscribeIn


@pytest.mark.parametrize(
    ("typed", "model"),
    [
        (fields.Message, MessageIn),
        (fields.RawMessage, RawMessageIn),
        (fields.Attachment, AttachmentIn),
        (fields.ListUnsubscribe, ListUnsubscribeIn),
        (fields.AccountFields, AccountIn),
        (fields.AccountAuth, AccountAuthIn),
        (fields.AccountTestFields, UnsavedAccountTest),
        (fields.TenantFields, TenantFields),
        (fields.ClientAuth, ClientAuthIn),
        (fields.RateLimits, RateLimits),
        (fields.SettingFields, RuntimeSettings),
        (fields.BounceMailboxFields, BounceMailboxIn),
    ],
)
def test_typed_fields_have_the_names_of_the_wire(typed: Any, model: type[BaseModel]) -> None:
    names = {field.alias or name: field for name, field in model.model_fields.items()}
    hints = get_type_hints(typed, include_extras=True)
    assert set(hints) == set(names)
    required = {name for name, field in names.items() if field.is_required()}
    assert {name for name, hint in hints.items() if get_origin(hint) is Required} == required
