"""Calls that applications can verify, and the ids by which they know a call again."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from tests.protocols.reporting.house import House, ids

from mail_proxy.config import ClientSyncConfig
from mail_proxy.testing.clock import FakeClock
from mail_proxy.testing.sync_endpoint import Reply, ReportCall, SyncEndpoint

NEW = "whsec_" + "bmV3IHNlY3JldCB3aXRoIDI0IGJ5dGVz"
OLD = "whsec_" + "b2xkIHNlY3JldCB3aXRoIDI0IGJ5dGVz"
DAY = 86_400


def expected(call: ReportCall, secrets: Sequence[str]) -> list[str]:
    """The signatures that the library makes of what arrived."""
    at = datetime.fromtimestamp(int(call.headers["webhook-timestamp"]), UTC)
    id_, body = call.headers["webhook-id"], call.body.decode()
    return [Webhook(secret).sign(id_, at, body) for secret in secrets]


def signatures(call: ReportCall) -> list[str]:
    return call.headers["webhook-signature"].split(" ")


async def test_an_application_can_verify_the_call(house: House, endpoint: SyncEndpoint) -> None:
    house.clock = FakeClock(time.time())
    await house.tenant(client_base_url=endpoint.url, signing_secret=NEW)
    await house.event(["mél"], "error", {"error": "àèì 😀"})
    await house.reporter()
    (call,) = await endpoint.wait_for(1)
    call.verify(NEW)
    with pytest.raises(WebhookVerificationError, match="signature"):
        call.verify(OLD)
    with pytest.raises(WebhookVerificationError, match="signature"):
        replace(call, body=call.body.replace(b"error", b"sent_")).verify(NEW)
    with pytest.raises(WebhookVerificationError, match="too old"):
        hour_ago = {**call.headers, "webhook-timestamp": str(int(time.time()) - 3600)}
        replace(call, headers=hour_ago).verify(NEW)


async def test_after_a_change_the_old_secret_signs_along_for_a_day(
    house: House, endpoint: SyncEndpoint
) -> None:
    await house.tenant(
        client_base_url=endpoint.url,
        signing_secret=NEW,
        previous_signing_secret=OLD,
        signing_secret_changed_at=house.started,
    )
    reporter = await house.reporter(test_mode=True)
    house.clock.advance(DAY - 1)
    reporter.run_now()
    (during,) = await endpoint.wait_for(1)
    await house.settled(reporter)
    house.clock.advance(1)
    reporter.run_now()
    _, after = await endpoint.wait_for(2)
    assert signatures(during) == expected(during, [NEW, OLD])
    assert signatures(after) == expected(after, [NEW])
    assert int(after.headers["webhook-timestamp"]) == int(house.clock.now())


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"previous_signing_secret": OLD, "signing_secret_changed_at": 1_800_000_000.0},
    ],
)
async def test_without_a_secret_nothing_is_signed(
    house: House, endpoint: SyncEndpoint, columns: dict[str, Any]
) -> None:
    await house.tenant(client_base_url=endpoint.url, **columns)
    await house.reporter()
    (call,) = await endpoint.wait_for(1)
    assert not [name for name in call.headers if name.startswith("webhook-")]


async def test_the_common_url_gets_the_tenants_signature(
    house: House, endpoint: SyncEndpoint
) -> None:
    await house.tenant(signing_secret=NEW)
    await house.reporter(sync=ClientSyncConfig(url=endpoint.url))
    (call,) = await endpoint.wait_for(1)
    assert signatures(call) == expected(call, [NEW])


async def test_the_id_is_that_of_the_call_before_only_when_the_same_is_told_again(
    house: House, endpoint: SyncEndpoint
) -> None:
    await house.tenant(client_base_url=endpoint.url, signing_secret=NEW)
    await house.event(["m"])
    reporter = await house.reporter(test_mode=True)
    failed, refused = Reply(status=500), Reply({"error": ["m", "n"]})
    for count, reply in enumerate((failed, failed, refused, Reply(), Reply(), Reply()), 1):
        if count == 3:
            await house.event(["n"])
        endpoint.script(reply)
        house.clock.advance(1000)
        reporter.run_now()
        await endpoint.wait_for(count)
        await house.settled(reporter)

    assert ids(endpoint.calls) == [["m"], ["m"], ["m", "n"], ["m", "n"], [], []]
    names = [call.headers["webhook-id"] for call in endpoint.calls]
    assert names[0] == names[1], "a call that failed is told again under its id"
    assert len(set(names)) == 5, "an application that drops known ids must miss nothing"
    assert all(re.fullmatch(r"msg_[0-9a-f-]{32,36}", name) for name in names)
    times = [int(call.headers["webhook-timestamp"]) for call in endpoint.calls]
    assert times == [int(house.started) + 1000 * n for n in range(1, 7)]


async def test_a_stored_secret_that_is_none_stops_the_calls_and_says_why(
    house: House, endpoint: SyncEndpoint
) -> None:
    await house.tenant(client_base_url=endpoint.url, signing_secret="whsec_hunter22")
    await house.event(["m"])
    await house.settled(await house.reporter())
    assert endpoint.calls == []
    error = (await house.sync())["last_error"]
    assert error == "signing_secret must be whsec_ and the base64 of 24 to 64 random bytes"
    assert [call["outcome"] for call in await house.logged()] == ["settings"]
