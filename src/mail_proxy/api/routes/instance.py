"""Routes of the instance: its name, and the settings that may change at run time."""

from __future__ import annotations

from fastapi import APIRouter

from mail_proxy.api.deps import AdminCall, Route
from mail_proxy.operations import instance as operations
from mail_proxy.wire.instance import InstanceAnswer, InstanceIn

router = APIRouter(tags=["instance"], route_class=Route)


@router.get("/instance")
async def get(call: AdminCall) -> InstanceAnswer:
    """Return the instance with its run-time settings, as they are in effect."""
    return await call(operations.get, None)


@router.put("/instance")
async def update(call: AdminCall, body: InstanceIn) -> InstanceAnswer:
    """Change the given fields of the instance.

    Settings that are set here override those of the start in all processes, until they are set
    to null.
    """
    return await call(operations.update, body)
