"""``handle_command``: the operations by name, for a program that embeds the proxy."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from mail_proxy.errors import RequestError
from mail_proxy.operations.callers import Caller
from mail_proxy.operations.door import Door
from mail_proxy.operations.operation import Operation, Scope
from mail_proxy.wire.fields import OfTenant
from mail_proxy.wire.mistakes import malformed, of_validation
from mail_proxy.wire.tenants import Nothing, TenantRef

Json = dict[str, Any]
#: A program that embeds the proxy has its database and its key: it is the administrator.
_CALLER = Caller(None)


class Commands:
    """Operations by their command names, with the API's fields and answers."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._by_name = {o.command: o for o in door.operations.values() if o.command is not None}

    async def run(self, name: str, payload: Json) -> Json:
        """Return the answer as the API gives it, also for the caller's mistakes."""
        operation = self._by_name.get(name)
        if operation is None:
            return {"ok": False, "error": "unknown command"}
        try:
            tenant_id, request = self._read(operation, payload)
            answer = await self._door.call(operation, _CALLER, request, tenant_id)
        except ValidationError as error:
            return _failure(malformed(*of_validation(error, operation.request)))
        except RequestError as error:
            return _failure(error)
        found: Json = answer.model_dump(mode="json", by_alias=True)
        return found

    def _read(self, operation: Operation[Any, Any], payload: Json) -> tuple[str | None, Any]:
        """Split a payload into the tenant that the call is about, and the request."""
        if operation.read is not None:
            return None, operation.read(payload, self._door.queue)
        model = Nothing if operation.takes_nothing else operation.request
        if operation.scope is Scope.ADMIN:
            tenant_id, rest = None, payload
        else:
            tenant_id = _tenant(operation.tenant_field, payload)
            is_own = operation.tenant_field in model.model_fields
            rest = {k: v for k, v in payload.items() if is_own or k != operation.tenant_field}
        request = model.model_validate(rest)
        return tenant_id, None if operation.takes_nothing else request


def _failure(error: RequestError) -> Json:
    return {"ok": False, "error": error.message, "code": error.code, "detail": error.detail}


def _tenant(field: str, payload: Json) -> str | None:
    if field == "id":
        return TenantRef.model_validate({k: v for k, v in payload.items() if k == field}).id
    return OfTenant(tenant_id=payload.get(field)).tenant_id
