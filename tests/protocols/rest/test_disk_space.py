"""A disk that runs full: no new messages, and everything else goes on"""

from __future__ import annotations

from tests.protocols.rest.client import serving

from mail_proxy.config import ProxyConfig, QueueConfig
from mail_proxy.testing.smtp_server import ScriptedSmtpServer

MAIL = {"from": "a@example.org", "to": "b@example.net", "subject": "s", "body": "b"}
#: More than any disk has.
SHORT = QueueConfig(min_free_disk_mb=1e12)


async def test_a_short_disk_refuses_messages_and_still_delivers_the_others(
    config: ProxyConfig, smtp: ScriptedSmtpServer
) -> None:
    held = config.model_copy(update={"scheduler_active": False})
    async with serving(held) as before:
        await before.account(smtp)
        await before.add("held")
    async with serving(config.model_copy(update={"queue": SHORT})) as client:
        answer = await client("POST", "/commands/add-messages", {"messages": [{"id": "m", **MAIL}]})
        ready = await client.http.get("/ready")
        if config.database_url.startswith("postgresql"):
            # Its disk is another machine's.
            assert (answer.status_code, ready.status_code) == (200, 200)
            return
        for response in (answer, ready):
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) > 0
            assert "min_free_disk_mb" in response.json()["error"]
        await client.in_state("sent", "held")
        assert (await client("GET", "/messages/m")).status_code == 404
        assert await client.ok("POST", "/tenant", {"id": "acme"})
