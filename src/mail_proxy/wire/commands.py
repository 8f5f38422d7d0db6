"""Payloads of ``handle_command`` that no route has as a body."""

from __future__ import annotations

from pydantic import Field

from mail_proxy.domain.message import MessageState
from mail_proxy.wire.fields import Identifier, Request
from mail_proxy.wire.messages import Cursor, PageSize, SearchText


class Nothing(Request):
    """No fields."""


class OfTenant(Request):
    """The tenant that a call is about."""

    tenant_id: Identifier | None = None


class OneBatch(Request):
    """Of ``suspend`` and ``activate``."""

    batch_code: Identifier | None = Field(None, description="Without it everything.")


class Named(Request):
    """What is meant, by its id."""

    id: Identifier


class MessageQuery(Request):
    """The filters of ``GET /messages``."""

    active_only: bool = False
    status: MessageState | None = None
    account_id: Identifier | None = None
    batch_code: Identifier | None = None
    id: Identifier | None = None
    q: SearchText | None = None
    limit: PageSize = 100
    cursor: Cursor | None = None


class TenantQuery(Request):
    """The filter of ``GET /tenants``."""

    active_only: bool = False
