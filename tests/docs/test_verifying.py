"""An application that verifies its calls as the reference shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks import WebhookVerificationError
from tests.docs.pages import ROOT, blocks
from tests.protocols.rest.client import serving

from mail_proxy.config import ProxyConfig
from mail_proxy.testing.sync_endpoint import SyncEndpoint

SECRET = "whsec_" + "MzIgYnl0ZXMgb2YgYSBzZWNyZXQgZm9yIHRlc3RzISE="


async def test_the_function_of_the_reference_takes_the_proxys_calls_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    config = ProxyConfig(db_path=str(tmp_path / "mail.db"), api_token=SecretStr("admin-token"))
    async with SyncEndpoint() as endpoint, serving(config) as client:
        tenant = {"client_base_url": endpoint.url, "signing_secret": SECRET}
        await client.ok("PUT", "/tenant/default", tenant)
        await client.ok("POST", "/account", {"id": "a", "host": "127.0.0.1"})
        await client.add("late")
        call = await endpoint.wait_for_report("late")

    program, _ = blocks(ROOT / "docs" / "reference" / "reports.md", "python")
    application: dict[str, Any] = {}
    exec(program, application)
    monkeypatch.setenv("SIGNING_SECRET", SECRET)
    (report,) = application["take"](call.body, dict(call.headers))
    assert report["id"] == "late"
    with pytest.raises(WebhookVerificationError):
        application["take"](call.body.replace(b"late", b"soon"), dict(call.headers))
