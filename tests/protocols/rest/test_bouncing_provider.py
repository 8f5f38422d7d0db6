"""The fake provider whose recipients bounce, complain and answer, with the whole proxy."""

from __future__ import annotations

from typing import Any

from tests.protocols.rest.client import ONE_DATABASE, eventually, serving

from mail_proxy.config import ProxyConfig
from mail_proxy.testing.bouncing_provider import REACTIONS, BouncingProvider
from mail_proxy.testing.sync_endpoint import SyncEndpoint

pytestmark = ONE_DATABASE


async def test_each_kind_of_recipient_comes_back_as_what_it_is(
    config: ProxyConfig, endpoint: SyncEndpoint
) -> None:
    def reported() -> dict[str, dict[str, Any]]:
        entries = [e for call in endpoint.calls for e in call.reports]
        return {e["id"]: e for e in entries if "sent_ts" not in e}

    async with BouncingProvider() as provider, serving(config) as client:
        await client.ok("PUT", "/tenant/default", {"client_base_url": endpoint.url})
        await client.account(provider.smtp)
        await client.ok("PUT", "/instance/bounce", provider.bounce_mailbox())
        for name in (*REACTIONS, "ann"):
            await client.add(name, to=[f"{name}+1@example.net"])
        await eventually(lambda: len(reported()) == len(REACTIONS) - 1)
        found = reported()
        assert [found[name].get("bounce_code") for name in ("unknown", "full", "spam")] == [
            "5.1.1",
            "4.2.2",
            "5.7.1",
        ]
        assert [found[name]["bounce_category"] for name in ("unknown", "full", "spam")] == [
            "unknown_user",
            "mailbox_full",
            "spam",
        ]
        assert (found["late"]["bounce_type"], found["late"]["bounce_code"]) == ("soft", "4.4.1")
        assert (found["plain"]["bounce_type"], found["plain"]["bounce_code"]) == ("hard", "550")
        assert found["complaint"]["complaint_type"] == "abuse"
        assert found["answer"]["excerpt"] == "Thank you, it arrived."
        listed = (await client.ok("GET", "/suppressions"))["suppressions"]
        names = {entry["address"].partition("+")[0] for entry in listed}
        assert names == {"unknown", "plain", "complaint"}
