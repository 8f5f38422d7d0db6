"""The instance: its name, and the settings that may change at run time."""

from __future__ import annotations

from fastapi import APIRouter

from mail_proxy.api.deps import Admin, Route, Service
from mail_proxy.operations import instance as operations
from mail_proxy.wire.instance import InstanceAnswer, InstanceIn

router = APIRouter(tags=["instance"], route_class=Route)


@router.get("/instance")
async def get(service: Service, caller: Admin) -> InstanceAnswer:
    """The instance with the settings that may change at run time, as they are in effect."""
    return await service.door.call(operations.get, caller, None)


@router.put("/instance")
async def update(service: Service, caller: Admin, body: InstanceIn) -> InstanceAnswer:
    """Change the given fields of the instance only. Settings that are set here are stronger than
    those of the start, for all processes, until they are set to null."""
    answer = await service.door.call(operations.update, caller, body)
    await service.follow_settings()
    return answer
