"""The PEC provider that users try their integration with."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.harness.patience import PATIENCE_SECONDS
from tests.protocols.rest.client import ONE_DATABASE, serving

from mail_proxy.config import PecConfig, ProxyConfig
from mail_proxy.testing.pec_provider import PecProvider

EXPECTED = {
    "mario": ["pec_acceptance", "pec_delivery"],
    "unknown": ["pec_acceptance", "pec_error"],
    "late": ["pec_acceptance", "pec_warning"],
    "virus": ["pec_acceptance", "pec_error"],
    "relayed": ["pec_acceptance", "pec_relay", "pec_delivery"],
    "not-accepted": ["pec_error"],
    "silent+1": [],
}


@ONE_DATABASE
async def test_the_recipient_decides_which_receipts_come(
    config: ProxyConfig, tmp_path: Path
) -> None:
    async with PecProvider() as provider:
        authorities = tmp_path / "authorities.pem"
        authorities.write_bytes(provider.receipts.authority)
        pec = PecConfig(receipts_dir=tmp_path / "receipts", pec_ca_file=authorities)
        async with serving(config.model_copy(update={"pec": pec})) as client:
            await client.ok("POST", "/account", provider.account())
            test = await client.ok("POST", "/account/pec/test")
            assert [(step["step"], step["ok"]) for step in test["steps"]][-1] == ("mailbox", True)
            common = {"from": provider.user, "subject": "Fattura", "body": "b"}
            messages = [
                {**common, "id": name, "to": [f"{name}@pec.example.org"]} for name in EXPECTED
            ]
            await client.ok("POST", "/commands/add-messages", {"messages": messages})
            for name, kinds in EXPECTED.items():
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while True:
                        found = await client.events(name)
                        pec_events = [e for e in found if e["event_type"].startswith("pec_")]
                        if len(pec_events) >= len(kinds):
                            break
                        await asyncio.sleep(0.02)
                assert [e["event_type"] for e in pec_events] == kinds
                signed = {e["event_data"]["signature"] for e in pec_events}
                assert signed <= {"valid"}
