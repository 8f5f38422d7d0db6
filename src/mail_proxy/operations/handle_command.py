"""Operations by the names that they have in ``handle_command``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, ValidationError

from mail_proxy.config import QueueConfig
from mail_proxy.errors import RequestError
from mail_proxy.operations import accounts, messages, service, suspension, tenants
from mail_proxy.operations.callers import Caller
from mail_proxy.operations.intake import Intake
from mail_proxy.operations.operation import Door
from mail_proxy.operations.upkeep import Upkeep
from mail_proxy.wire import commands as wire
from mail_proxy.wire.accounts import AccountIn
from mail_proxy.wire.fields import field_name
from mail_proxy.wire.messages import CleanupMessages, Ids, explain, parse_batch
from mail_proxy.wire.tenants import TenantFields, TenantIn

Json = dict[str, Any]
_Command = Callable[[Json], Awaitable[BaseModel]]
#: A program that embeds the proxy has its database and its key: it is the administrator.
_CALLER = Caller(None)


class Commands:
    """What the API does, for a program that embeds the proxy: the same operations and answers."""

    def __init__(
        self, door: Door, intake: Intake, upkeep: Upkeep, queue: Callable[[], QueueConfig]
    ) -> None:
        self._door = door
        self._intake = intake
        self._upkeep = upkeep
        self._queue = queue
        self._commands: dict[str, _Command] = {
            "run now": self._run_now,
            "suspend": self._suspend,
            "activate": self._activate,
            "addMessages": self._add_messages,
            "deleteMessages": self._delete_messages,
            "cleanupMessages": self._cleanup_messages,
            "listMessages": self._list_messages,
            "addAccount": self._add_account,
            "listAccounts": self._list_accounts,
            "deleteAccount": self._delete_account,
            "addTenant": self._add_tenant,
            "getTenant": self._get_tenant,
            "listTenants": self._list_tenants,
            "updateTenant": self._update_tenant,
            "deleteTenant": self._delete_tenant,
            "listTenantsSyncStatus": self._sync_status,
        }

    async def run(self, name: str, payload: Json) -> Json:
        """The answer as the API gives it, errors of the caller's too."""
        command = self._commands.get(name)
        if command is None:
            return {"ok": False, "error": "unknown command"}
        try:
            answer = await command(payload)
        except ValidationError as error:
            detail = [
                {"field": field_name(e["loc"]), "message": e["msg"], "value": None}
                for e in error.errors(include_url=False, include_context=False, include_input=False)
            ]
            return {"ok": False, "error": explain(error), "detail": detail}
        except RequestError as error:
            return {"ok": False, "error": error.message, "detail": error.detail}
        return answer.model_dump(mode="json", by_alias=True)

    async def _run_now(self, payload: Json) -> BaseModel:
        tenant_id, rest = _tenant_and_rest(payload)
        wire.Nothing.model_validate(rest)
        if tenant_id is None:
            return await self._door.call(service.run_now, _CALLER, None)
        return await self._door.call(service.run_now_for_tenant, _CALLER, None, tenant_id)

    async def _suspend(self, payload: Json) -> BaseModel:
        tenant_id, batch = _batch(payload)
        suspend = suspension.suspend
        return await self._upkeep.suspend_or_activate(suspend, _CALLER, batch, tenant_id)

    async def _activate(self, payload: Json) -> BaseModel:
        tenant_id, batch = _batch(payload)
        activate = suspension.activate
        return await self._upkeep.suspend_or_activate(activate, _CALLER, batch, tenant_id)

    async def _add_messages(self, payload: Json) -> BaseModel:
        batch = parse_batch(payload, self._queue().max_enqueue_batch)
        return await self._intake.add(_CALLER, batch)

    async def _delete_messages(self, payload: Json) -> BaseModel:
        tenant_id, rest = _tenant_and_rest(payload)
        request = Ids.model_validate(rest)
        return await self._door.call(messages.delete, _CALLER, request, tenant_id)

    async def _cleanup_messages(self, payload: Json) -> BaseModel:
        tenant_id, rest = _tenant_and_rest(payload)
        return await self._upkeep.cleanup(_CALLER, CleanupMessages.model_validate(rest), tenant_id)

    async def _list_messages(self, payload: Json) -> BaseModel:
        tenant_id, rest = _tenant_and_rest(payload)
        wanted = messages.ListMessages(**dict(wire.MessageQuery.model_validate(rest)))
        return await self._door.call(messages.list_messages, _CALLER, wanted, tenant_id)

    async def _add_account(self, payload: Json) -> BaseModel:
        request = AccountIn.model_validate(payload)
        return await self._door.call(accounts.save, _CALLER, request, request.tenant_id)

    async def _list_accounts(self, payload: Json) -> BaseModel:
        tenant_id, rest = _tenant_and_rest(payload)
        wire.Nothing.model_validate(rest)
        return await self._door.call(accounts.list_accounts, _CALLER, None, tenant_id)

    async def _delete_account(self, payload: Json) -> BaseModel:
        tenant_id, rest = _tenant_and_rest(payload)
        which = accounts.AccountRef(_id(rest))
        return await self._upkeep.delete_account(_CALLER, which, tenant_id)

    async def _add_tenant(self, payload: Json) -> BaseModel:
        return await self._door.call(tenants.save, _CALLER, TenantIn.model_validate(payload))

    async def _get_tenant(self, payload: Json) -> BaseModel:
        return await self._door.call(tenants.get, _CALLER, None, _id(payload))

    async def _list_tenants(self, payload: Json) -> BaseModel:
        wanted = tenants.TenantFilter(**dict(wire.TenantQuery.model_validate(payload)))
        return await self._door.call(tenants.list_tenants, _CALLER, wanted)

    async def _update_tenant(self, payload: Json) -> BaseModel:
        fields = TenantFields.model_validate({k: v for k, v in payload.items() if k != "id"})
        tenant_id = _id({"id": payload.get("id")})
        return await self._door.call(tenants.update, _CALLER, fields, tenant_id)

    async def _delete_tenant(self, payload: Json) -> BaseModel:
        return await self._upkeep.delete_tenant(_CALLER, tenants.ForTenant(_id(payload)))

    async def _sync_status(self, payload: Json) -> BaseModel:
        wire.Nothing.model_validate(payload)
        return await self._door.call(tenants.sync_status, _CALLER, None)


def _tenant_and_rest(payload: Json) -> tuple[str | None, Json]:
    """The tenant that a call is about, which the API takes from the query, and the other fields."""
    rest = {name: value for name, value in payload.items() if name != "tenant_id"}
    return wire.OfTenant(tenant_id=payload.get("tenant_id")).tenant_id, rest


def _batch(payload: Json) -> tuple[str | None, suspension.BatchRef]:
    tenant_id, rest = _tenant_and_rest(payload)
    return tenant_id, suspension.BatchRef(wire.OneBatch.model_validate(rest).batch_code)


def _id(payload: Json) -> str:
    return wire.Named.model_validate(payload).id
