"""Log-in to the dashboard: sessions, their end, forms of other sites, failures."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.harness.dashboard import Visitor, seal_of, texts_of
from tests.protocols.rest.client import ONE_DATABASE, Client, calling, serving

from mail_proxy.config import ProxyConfig, UiConfig
from mail_proxy.kit.clock import SystemClock


@pytest.fixture
async def visitor(idle: Client) -> AsyncIterator[Visitor]:
    yield Visitor(idle.http)


async def test_a_token_opens_a_session_which_log_out_ends(visitor: Visitor) -> None:
    first = await visitor.get("")
    assert (first.status_code, first.headers["Location"]) == (303, "/ui/login")
    response = await visitor.log_in("admin-token")
    assert (response.status_code, response.headers["Location"]) == (303, "/ui/")
    cookies = response.headers.get_list("Set-Cookie")
    session = next(c for c in cookies if c.startswith("gmp_ui="))
    for part in ("HttpOnly", "SameSite=strict", "Path=/ui", "Max-Age=43200"):
        assert part in session
    assert "Secure" not in session
    assert "All is well" in await visitor.page("") or "First steps" in await visitor.page("")
    kept = visitor.http.cookies["gmp_ui"]
    out = await visitor.post("logout", on="")
    assert out.headers["Location"] == "/ui/login?done=logged_out"
    visitor.http.cookies.set("gmp_ui", kept, domain="localhost.local", path="/ui")
    assert (await visitor.get("")).status_code == 303


async def test_a_session_ends_with_its_key_and_with_its_tenant(
    idle: Client, visitor: Visitor
) -> None:
    key = await idle.tenant("acme")
    await visitor.log_in(key)
    await visitor.page("t/acme/messages")
    await idle.ok("PUT", "/tenant/acme", {"active": False})
    assert (await visitor.get("t/acme/messages")).headers["Location"].startswith("/ui/login")
    await idle.ok("PUT", "/tenant/acme", {"active": True})
    await visitor.page("t/acme/messages")
    await idle.ok("POST", "/tenant/acme/api-key", {})
    assert (await visitor.get("t/acme/messages")).status_code == 303
    assert (await visitor.log_in(key)).status_code == 401


async def test_a_session_ends_after_its_hours_and_with_everybodys(
    config: ProxyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = config.model_copy(update={"ui": UiConfig(ui_session_hours=1)})
    moved = [0.0]
    real = SystemClock.now
    monkeypatch.setattr(SystemClock, "now", lambda self: real(self) + moved[0])
    async with serving(changed) as client:
        visitor = Visitor(client.http)
        await visitor.log_in("admin-token")
        moved[0] = 3500.0
        await visitor.page("setup")
        kept = visitor.http.cookies["gmp_ui"]
        moved[0] = 3700.0
        assert (await visitor.get("setup")).status_code == 303
        del visitor.http.cookies["gmp_ui"]
        await visitor.log_in("admin-token")
        assert visitor.http.cookies["gmp_ui"] != kept
        assert (await client.ok("POST", "/ui-sessions/end"))["ended"] == 1
        assert (await visitor.get("setup")).status_code == 303


@ONE_DATABASE
async def test_a_link_logs_in_once(idle: Client, visitor: Visitor) -> None:
    path = (await idle.ok("POST", "/ui-link"))["path"]
    code = path.partition("code=")[2]
    # To open the page does not use the link: mail scanners and previews open it, too.
    for _ in range(2):
        assert code in await visitor.page(path)
    used = await visitor.post("open", on=path, code=code)
    assert (used.status_code, used.headers["Location"]) == (303, "/ui/")
    await visitor.page("setup")
    async with calling(idle.app) as other:
        again = await Visitor(other.http).post("open", on=path, code=code)
        assert (again.status_code, "gmp_ui=" in str(again.headers)) == (401, False)
    log = await idle.ok("GET", "/command-log?endpoint=ui_sessions.link")
    assert code not in str(log)


@ONE_DATABASE
async def test_a_form_without_the_seal_of_its_browser_is_refused(visitor: Visitor) -> None:
    for path in ("login", "open"):
        response = await visitor.http.post(f"/ui/{path}", data={"token": "admin-token"})
        assert response.status_code == 403
        assert "gmp_ui=" not in str(response.headers)
    await visitor.log_in("admin-token")
    for path in ("logout", "run", "setup", "tenants", "t/default/suspend", "t/default/key"):
        for fields in ({}, {"seal": "0" * 64}):
            response = await visitor.http.post(f"/ui/{path}", data={"sure": "1", **fields})
            assert response.status_code == 403, path
    sealed = {"seal": seal_of(await visitor.page(""))}
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        response = await visitor.http.post("/ui/run", data=sealed, headers=headers)
        assert response.status_code == 403
    assert (await visitor.http.post("/ui/run", data=sealed)).status_code == 303


@ONE_DATABASE
async def test_failed_log_ins_are_slowed_down_and_written_down(
    idle: Client, visitor: Visitor
) -> None:
    seal = seal_of(await visitor.page("login"))
    statuses = []
    for _ in range(22):
        response = await visitor.http.post("/ui/login", data={"seal": seal, "token": "guess"})
        statuses.append(response.status_code)
    assert statuses[:20] == [401] * 20
    assert statuses[20:] == [429] * 2
    assert "admin-token" not in response.text
    # A valid token is served all the same.
    assert (await visitor.log_in("admin-token")).status_code == 303
    log = await idle.ok("GET", "/command-log?limit=1000")
    actors = [c["actor"] for c in log["commands"] if c["endpoint"] == "POST /ui/login"]
    assert actors.count("nobody") == 20
    assert actors.count("admin") == 1


@ONE_DATABASE
@pytest.mark.parametrize("back", ["//evil.example/", "https://evil.example", "/\\evil.example"])
async def test_a_log_in_leads_to_pages_of_the_dashboard_only(visitor: Visitor, back: str) -> None:
    response = await visitor.post("login", on="login", token="admin-token", back=back)
    assert response.headers["Location"] == "/ui/"


@ONE_DATABASE
async def test_behind_tls_the_cookie_is_secure(visitor: Visitor) -> None:
    headers = {"X-Forwarded-Proto": "https", "Accept-Language": "en"}
    page = await visitor.http.get("/ui/login", headers=headers)
    cookie = page.headers["Set-Cookie"]
    assert "Secure" in cookie
    sent = {**headers, "Cookie": cookie.partition(";")[0]}
    data = {"seal": seal_of(page.text), "token": "admin-token"}
    response = await visitor.http.post("/ui/login", data=data, headers=sent)
    assert "Secure" in response.headers.get_list("Set-Cookie")[0]


@ONE_DATABASE
async def test_every_answer_has_the_headers_that_keep_others_out(visitor: Visitor) -> None:
    await visitor.log_in("admin-token")
    for path in ("", "login", "nowhere", "t/default/messages.csv", "t/nobody/"):
        headers = (await visitor.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        for what in ("style", "script", "img", "connect", "frame"):
            assert f"{what}-src 'self'; " in policy
        assert "form-action 'self'; " in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"


@ONE_DATABASE
async def test_ui_off_switches_the_dashboard_off(config: ProxyConfig) -> None:
    async with serving(config.model_copy(update={"ui": UiConfig(ui=False)})) as client:
        for path in ("/ui/", "/ui/login", "/ui/t/default/messages"):
            assert (await client.http.get(path)).status_code == 404
        start = await client.http.get("/", headers={"Accept": "text/html"})
        assert start.headers["Location"] == "/docs"
        assert (await client("POST", "/ui-link")).status_code == 409


@ONE_DATABASE
async def test_without_a_token_this_machines_user_needs_no_log_in(config: ProxyConfig) -> None:
    async with serving(config.model_copy(update={"api_token": None})) as client:
        visitor = Visitor(client.http)
        assert "Overview" in texts_of(await visitor.page(""))
        assert (await visitor.post("run", on="")).status_code == 303
        elsewhere = await client.http.get("/ui/", headers={"X-Forwarded-For": "203.0.113.9"})
        assert elsewhere.status_code == 303
        async with calling(client.app, "203.0.113.9") as stranger:
            assert (await stranger.http.get("/ui/")).status_code == 303


@ONE_DATABASE
async def test_bodies_of_forms_have_bounds(visitor: Visitor) -> None:
    await visitor.log_in("admin-token")
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    large = await visitor.http.post("/ui/setup", content=b"a=" + b"b" * 1_100_000, headers=kind)
    assert large.status_code == 413
    many = await visitor.http.post("/ui/setup", content=b"a=1&" * 2000, headers=kind)
    assert many.status_code == 422
    wrong = await visitor.http.post("/ui/setup", json={"a": 1})
    assert wrong.status_code == 422
