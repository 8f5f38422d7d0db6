"""The instance's settings that change at run time, and the state of the tenants' applications"""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.protocols.rest.client import ONE_DATABASE, Client, serving

from mail_proxy.config import ProxyConfig
from mail_proxy.testing.sync_endpoint import Reply, SyncEndpoint
from mail_proxy.wire.instance import RuntimeSettings

MAIL = {"from": "a@example.org", "to": "b@example.net", "subject": "s"}


async def settings(client: Client, **changed: Any) -> dict[str, Any]:
    answer = await client.ok("PUT", "/instance", {"settings": changed})
    assert answer == await client.ok("GET", "/instance")
    found: dict[str, Any] = answer["instance"]
    return found


async def test_settings_change_at_once_for_all_processes_and_null_takes_them_back(
    idle: Client, config: ProxyConfig
) -> None:
    usual = (await idle.ok("GET", "/instance"))["instance"]
    assert set(usual["settings"]) == set(RuntimeSettings.model_fields)
    assert usual["settings"]["default_priority"] == 2
    assert usual["changed_settings"] == []
    other_host = config.model_copy(update={"scheduler_active": False})
    async with serving(other_host) as other:
        changed = await settings(idle, default_priority="high", max_enqueue_batch=1)
        assert changed["settings"] == {
            **usual["settings"],
            "default_priority": 1,
            "max_enqueue_batch": 1,
        }
        assert changed["changed_settings"] == ["default_priority", "max_enqueue_batch"]
        await other.ok("GET", "/messages?tenant_id=default")
        for number, client in enumerate((idle, other)):
            await client.add(f"m{number}")
            assert (await client.message(f"m{number}"))["priority"] == 1
            two = {"messages": [{"id": i, **MAIL} for i in ("x", "y")]}
            assert (await client("POST", "/commands/add-messages", two)).status_code == 413
        again = await settings(idle, default_priority=None, max_enqueue_batch=None)
        assert again["settings"] == usual["settings"]
        assert again["changed_settings"] == []


async def test_a_smaller_body_is_asked_for_at_once(idle: Client) -> None:
    await settings(idle, max_body_mb=0.1)
    large = {"messages": [{"id": "m", **MAIL, "body": "x" * 100_000}]}
    assert (await idle("POST", "/commands/add-messages", large)).status_code == 413
    await settings(idle, max_body_mb=None)
    assert (await idle("POST", "/commands/add-messages", large)).status_code == 200


async def test_settings_outlive_the_process(idle: Client, config: ProxyConfig) -> None:
    await settings(idle, audit_retention_days=7)
    await idle.ok("PUT", "/instance", {"name": "post"})
    async with serving(config.model_copy(update={"scheduler_active": False})) as again:
        found = (await again.ok("GET", "/instance"))["instance"]
        assert (found["name"], found["settings"]["audit_retention_days"]) == ("post", 7)


@ONE_DATABASE
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"settings": {"max_body_mb": 0}}, "settings.max_body_mb"),
        ({"settings": {"max_body_mb": 0.01}}, "settings.max_body_mb"),
        ({"settings": {"api_token": "x"}}, "settings.api_token"),
        ({"settings": {"default_priority": 4}}, "settings.default_priority"),
        ({"settings": {"audit_retention_days": 0}}, "settings.audit_retention_days"),
        ({"version": "2"}, "version"),
        ({"name": "a\nb"}, "name"),
    ],
)
async def test_what_cannot_be_set_is_named(idle: Client, body: Any, field: str) -> None:
    response = await idle("PUT", "/instance", body)
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == field


async def test_sync_status_of_tenants_that_are_called_and_of_those_that_are_not(
    client: Client, endpoint: SyncEndpoint, config: ProxyConfig
) -> None:
    quiet_until = int(time.time()) + 1000
    endpoint.script(Reply({"ok": True, "next_sync_after": quiet_until}))
    await client.ok("POST", "/tenant", {"id": "off", "active": False})
    await client.ok("POST", "/tenant", {"id": "on", "client_base_url": endpoint.url})
    await endpoint.wait_for(1)
    await client.ok("GET", "/tenants")

    async def state() -> dict[str, Any]:
        answer = await client.ok("GET", "/tenants/sync-status")
        assert answer["sync_interval_seconds"] == config.timing.sync_interval
        return {t["id"]: t for t in answer["tenants"]}

    found = await state()
    while found["on"]["last_sync_ts"] is None:
        found = await state()
    called = found["on"].pop("last_sync_ts")
    assert abs(called - time.time()) < 60
    assert found["on"] == {
        "id": "on",
        "name": None,
        "active": True,
        "client_base_url": endpoint.url,
        "next_sync_due": False,
        "in_dnd": True,
        "next_sync_after": quiet_until,
        "last_sync_error": None,
    }
    assert set(found) == {"default", "off", "on"}
    assert found["off"]["active"] is False
    for never in ("default", "off"):
        assert found[never]["last_sync_ts"] is None
        assert (found[never]["next_sync_due"], found[never]["in_dnd"]) == (False, False)
