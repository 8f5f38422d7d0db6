"""What every request passes first: paths, queries, sizes, times, and the start of the service"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from tests.protocols.rest.client import ONE_DATABASE, Client, calling, serving

from mail_proxy.config import ConcurrencyConfig, ProxyConfig, TimingConfig
from mail_proxy.server import create_app

TOKEN = {"X-API-Token": "admin-token"}


@pytest.mark.parametrize(
    ("id_", "path"),
    [
        ("a/events", "a%2Fevents"),
        ("a/events", "a%2fevents"),
        ("a/b/test", "a%2Fb%2Ftest"),
        ("a%2Fevents", "a%252Fevents"),
        ("é", "%C3%A9"),
        ("plain", "%70lain"),
        ("..", "%2E%2E"),
    ],
)
async def test_an_encoded_slash_is_part_of_the_id(idle: Client, id_: str, path: str) -> None:
    await idle.add(id_)
    assert (await idle.ok("GET", f"/messages/{path}"))["message"]["id"] == id_
    events = (await idle.ok("GET", f"/messages/{path}/events"))["events"]
    assert [e["event_type"] for e in events] == ["queued"]


@ONE_DATABASE
async def test_an_account_whose_id_ends_like_a_route_is_reached(idle: Client) -> None:
    await idle.ok("POST", "/account", {"id": "a/test", "host": "127.0.0.1"})
    assert (await idle.ok("GET", "/account/a%2Ftest"))["account"]["id"] == "a/test"
    await idle.ok("DELETE", "/account/a%2Ftest")
    assert (await idle("GET", "/account/a%2Ftest")).status_code == 404


@ONE_DATABASE
@pytest.mark.parametrize("path", ["/messages/%ff", "/messages/a%00b", "/tenant/%C3"])
async def test_an_id_that_is_no_text_is_422(idle: Client, path: str) -> None:
    response = await idle("GET", path)
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == "id"


@ONE_DATABASE
@pytest.mark.parametrize("path", ["/messages/", "/messages/a/b", "/x//messages", "/MESSAGES"])
async def test_other_paths_lead_nowhere(idle: Client, path: str) -> None:
    response = await idle("GET", path)
    assert response.status_code == 404
    assert response.json()["ok"] is False
    assert response.headers["X-Request-ID"]


@ONE_DATABASE
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/messages"), ("GET", "/tenants"), ("POST", "/commands/suspend"), ("GET", "/ready")],
)
async def test_a_query_parameter_that_nobody_knows_is_named(
    idle: Client, method: str, path: str
) -> None:
    response = await idle(method, f"{path}?qwertz=x&nonsense=3")
    assert response.status_code == 422
    assert response.json() == {
        "ok": False,
        "error": "qwertz: unknown query parameter; nonsense: unknown query parameter",
        "code": "malformed",
        "detail": [
            {"field": name, "message": "unknown query parameter", "value": None}
            for name in ("qwertz", "nonsense")
        ],
    }


@ONE_DATABASE
async def test_a_stranger_learns_nothing_of_queries_and_bodies(idle: Client) -> None:
    for path in ("/account", "/commands/suspend"):
        response = await idle.http.post(path, content=b"{nonsense")
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
    assert (await idle.http.get("/messages?nonsense=1")).status_code == 401


@ONE_DATABASE
async def test_a_body_that_trickles_in_is_408(config: ProxyConfig) -> None:
    class Endless:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

    impatient = config.model_copy(
        update={"timing": TimingConfig(request_timeout=0.2), "scheduler_active": False}
    )
    async with serving(impatient) as client:
        for path in ("/account", "/commands/add-messages", "/command-log/replay"):
            response = await client.http.post(path, content=Endless(), headers=TOKEN)
            assert response.status_code == 408
            assert response.headers["Connection"] == "close"
            assert "0.2 s" in response.json()["error"]
            assert response.headers["X-Request-ID"]


@ONE_DATABASE
async def test_headers_that_are_too_large_are_431(idle: Client) -> None:
    for headers in ({"X": "x" * 66_000}, {f"X-{n}": "x" for n in range(101)}):
        response = await idle.http.get("/health", headers=headers)
        assert response.status_code == 431
        assert response.json()["ok"] is False
        assert response.headers["X-Request-ID"]


async def test_before_its_start_the_service_says_nothing_but_that_it_lives() -> None:
    async with calling(create_app(ProxyConfig())) as client:
        assert (await client.http.get("/health")).status_code == 200
        for path in ("/openapi.json", "/docs", "/redoc", "/nowhere", "/messages"):
            response = await client.http.get(path)
            assert response.status_code == 503
            assert response.headers["Retry-After"] == "1"
            assert response.headers["X-Request-ID"]
            assert response.json() == {
                "ok": False,
                "error": "the proxy is not running",
                "code": "not_running",
                "detail": None,
            }


@ONE_DATABASE
async def test_mounted_below_a_path_it_is_the_same(config: ProxyConfig) -> None:
    inner = create_app(config.model_copy(update={"scheduler_active": False}))
    outer = FastAPI()
    outer.mount("/mail service", inner)
    async with inner.router.lifespan_context(inner), calling(outer) as client:
        await client.ok("POST", "/mail%20service/account", {"id": "a/b", "host": "127.0.0.1"})
        found = await client.ok("GET", "/mail%20service/account/a%2Fb")
        assert found["account"]["id"] == "a/b"
        assert (await client.http.get("/mail%20service/health")).status_code == 200


@ONE_DATABASE
async def test_head_is_answered_as_get_is_but_without_the_body(idle: Client) -> None:
    for path in ("/health", "/ready", "/metrics", "/messages", "/nowhere", "/messages/none"):
        shown = await idle.http.get(path, headers=TOKEN)
        head = await idle.http.head(path, headers=TOKEN)
        assert (head.status_code, head.content) == (shown.status_code, b"")
        assert head.headers["Content-Type"] == shown.headers["Content-Type"]
        assert head.headers["X-Request-ID"]
    assert (await idle.http.head("/account", headers=TOKEN)).status_code == 405


@ONE_DATABASE
async def test_405_names_all_that_the_path_allows(idle: Client) -> None:
    for path, allowed in (
        ("/tenant/default", "DELETE, GET, HEAD, PUT"),
        ("/messages", "GET, HEAD"),
        ("/account", "POST"),
        ("/commands/add-messages", "POST"),
    ):
        for method in ("PATCH", "OPTIONS"):
            response = await idle(method, path)
            assert (response.status_code, response.headers["Allow"]) == (405, allowed)


@ONE_DATABASE
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/commands/suspend"),
        ("POST", "/commands/activate"),
        ("POST", "/commands/run-now"),
        ("DELETE", "/account/smtp"),
        ("DELETE", "/tenant/acme/api-key"),
        ("GET", "/messages"),
    ],
)
async def test_a_body_that_nobody_would_read_is_refused(
    idle: Client, method: str, path: str
) -> None:
    key = await idle.tenant("acme")
    response = await idle(method, path, {"batch_code": "june", "tenant_id": "acme"})
    assert response.status_code == 422
    assert [d["field"] for d in response.json()["detail"]] == ["batch_code", "tenant_id"]
    assert response.json()["error"].startswith("batch_code: this call takes no body; tenant_id: ")
    form = await idle.http.request(method, path, content=b"batch_code=june", headers=TOKEN)
    assert form.status_code == 422
    assert (await idle.ok("GET", "/tenant/default"))["tenant"]["suspended_batches"] == []
    assert (await idle.ok("GET", "/accounts", token=key))["accounts"] == []
    assert len((await idle.ok("GET", "/accounts?tenant_id=default"))["accounts"]) == 1


@ONE_DATABASE
async def test_an_empty_body_is_no_body(idle: Client) -> None:
    for body in (b"", b"{}", b" null\n"):
        answer = await idle.http.post("/commands/run-now", content=body, headers=TOKEN)
        assert answer.status_code == 200


@ONE_DATABASE
@pytest.mark.parametrize("path", ["/account", "/commands/add-messages", "/tenant"])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"id": ', "body: is not JSON: "),
        (b"[1]", "body: must be a JSON object"),
        (b"null", "body: must be a JSON object"),
        (b"\xff", "body: is not JSON"),
    ],
)
async def test_what_is_wrong_with_a_body_is_said_in_words(
    idle: Client, path: str, body: bytes, words: str
) -> None:
    headers = {**TOKEN, "Content-Type": "application/json"}
    response = await idle.http.post(path, content=body, headers=headers)
    answer = response.json()
    assert response.status_code == 422
    assert answer["error"].startswith(words)
    (detail,) = answer["detail"]
    assert (detail["field"], detail["value"]) == ("body", None)
    assert answer["error"] == f"body: {detail['message']}"


@ONE_DATABASE
async def test_a_body_that_is_not_sent_as_json_is_told_how(idle: Client) -> None:
    response = await idle.http.post("/account", content=b'{"id": "a"}', headers=TOKEN)
    assert response.status_code == 422
    assert "Content-Type: application/json" in response.json()["error"]


def unfinished(begun: asyncio.Event | None = None, first: bytes = b"{") -> AsyncIterator[bytes]:
    """A body that begins and does not go on."""

    async def pieces() -> AsyncIterator[bytes]:
        yield first
        if begun is not None:
            begun.set()
        await asyncio.Event().wait()

    return pieces()


@ONE_DATABASE
async def test_large_bodies_wait_for_room_and_get_503_if_there_is_none(
    config: ProxyConfig,
) -> None:
    little = config.model_copy(
        update={
            "concurrency": ConcurrencyConfig(max_bodies_mb=2),
            "timing": TimingConfig(request_timeout=0.5),
            "scheduler_active": False,
        }
    )
    async with serving(little) as client:
        key = await client.tenant("acme")
        path, size = "/commands/add-messages", 100_000
        headers, begun = {**TOKEN, "Content-Length": str(size)}, asyncio.Event()
        bodies = [unfinished(begun), *(unfinished() for _ in range(3))]
        calls = [
            asyncio.create_task(client.http.post(path, content=body, headers=headers))
            for body in bodies
        ]
        await begun.wait()
        # Small bodies and those of others do not wait.
        small = await client.http.post(path, content=b"{}", headers=TOKEN)
        other = await client.http.post(path, content=b"\n" * size, headers={"X-API-Token": key})
        assert (small.status_code, other.status_code) == (422, 422)
        first, *others = await asyncio.gather(*calls)
        assert first.status_code == 408
        refused = [response for response in others if response.status_code == 503]
        assert len(refused) >= 2, "when the first one ends, at most one more is admitted"
        for response in refused:
            error = "too many large bodies at once: no room within 0.5 s"
            assert response.json()["error"] == error
            assert response.headers["Retry-After"] == "1"
        later = await client.http.post(path, content=b"\n" * size, headers=TOKEN)
        assert later.status_code == 422


@ONE_DATABASE
async def test_a_chunked_body_counts_as_the_largest(config: ProxyConfig) -> None:
    update = {"timing": TimingConfig(request_timeout=0.5), "scheduler_active": False}
    async with serving(config.model_copy(update=update)) as client:
        path = "/commands/add-messages"
        calls = [
            client.http.post(path, content=unfinished(first=b"\n" * 70_000), headers=TOKEN)
            for _ in range(4)
        ]
        statuses = [response.status_code for response in await asyncio.gather(*calls)]
        assert set(statuses) == {408, 503}
        assert statuses.count(503) >= 2


@ONE_DATABASE
async def test_a_body_that_nobody_asked_for_is_not_read_to_its_end(config: ProxyConfig) -> None:
    update = {"timing": TimingConfig(request_timeout=0.5), "scheduler_active": False}
    async with serving(config.model_copy(update=update)) as client:
        response = await client.http.request(
            "GET", "/health", content=unfinished(first=b"x" * 20_000)
        )
        assert response.status_code == 422
        large = await client.http.post("/account", content=bytes(5_000_000), headers=TOKEN)
        assert large.status_code == 413
