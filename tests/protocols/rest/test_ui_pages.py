"""Pages of the dashboard: who sees them, what they show, what their forms do."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from tests.harness.dashboard import OF_ADMIN, OF_TENANT, PAYLOAD, Visitor, texts_of
from tests.protocols.rest.client import ONE_DATABASE, Client

from mail_proxy.dashboard.views import PAGES
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import SyncEndpoint

MAIL = {"from": "a@example.org", "to": ["b@example.net"], "subject": "s", "body": "b"}


@pytest.fixture
async def visitor(client: Client) -> Visitor:
    """The administrator; the instance has the tenant ``acme`` with one message that waits."""
    visitor = Visitor(client.http)
    assert (await visitor.log_in("admin-token")).status_code == 303
    return visitor


async def _filled(client: Client, tenant: str, **fields: Any) -> str:
    """Make a tenant with an account and a message for tomorrow; return its key."""
    key = await client.tenant(tenant)
    account = {"id": "smtp", "host": f"{tenant}.example", "tenant_id": tenant}
    await client.ok("POST", "/account", account)
    message = {**MAIL, "id": f"of-{tenant}", "tenant_id": tenant, "deferred_ts": 4_000_000_000}
    await client.ok("POST", "/commands/add-messages", {"messages": [{**message, **fields}]})
    return key


async def test_a_tenants_key_sees_its_own_pages_and_404_for_all_others(client: Client) -> None:
    key = await _filled(client, "mine")
    await _filled(client, "other")
    visitor = Visitor(client.http)
    await visitor.log_in(key)
    # Its own pages name no other tenant, and have no forms that the API refuses it.
    for name in OF_TENANT:
        page = await visitor.page(f"t/mine/{name}")
        assert "other" not in texts_of(page).replace("for the others", "").split(), name
        for refused in ("/ui/t/mine/key", "/ui/t/mine/delete", "/ui/tenants", "/ui/setup"):
            assert refused not in page, name
    assert "of-mine" in await visitor.page("t/mine/m/of-mine")
    assert "mine" in await visitor.page("")
    nowhere = (await visitor.get("nowhere")).text
    for name in (*OF_TENANT, "m/of-other", "m/of-mine", "audit", "accounts/smtp", "messages.csv"):
        response = await visitor.get(f"t/other/{name}")
        assert (response.status_code, response.text) == (404, nowhere), name
        assert (await visitor.get(f"t/nobody/{name}")).text == nowhere
    for name in (*OF_ADMIN, "messages.csv", "messages.jsonl"):
        # ``/ui/messages`` of a key is that of its tenant.
        response = await visitor.get(name)
        if name.startswith("messages"):
            assert "of-other" not in response.text
        else:
            assert response.status_code == 404, name
    assert (await visitor.get("t/mine/audit")).status_code == 404


async def test_no_form_reaches_another_tenant(client: Client) -> None:
    key = await _filled(client, "mine")
    await _filled(client, "other")
    visitor = Visitor(client.http)
    await visitor.log_in(key)
    before = await client.ok("GET", "/command-log?tenant_id=other&limit=1000")
    fields = {"sure": "1", "all": "1", "id": "of-other", "name": "other", "host": "h.example"}
    fields |= {"address": "b@example.net", "domain": "example.org", "selector": "gmp1"}
    for page in PAGES:
        if page.method != "POST" or page.path in ("/login", "/open", "/logout"):
            continue
        path = page.path.replace("{tenant}", "other").replace("{id}", "of-other")
        if "{tenant}" in page.path or path.startswith(("/setup", "/tenants")):
            response = await visitor.post(f"/ui{path}", on="", **fields)
            assert response.status_code == 404, page.path
    after = await client.ok("GET", "/command-log?tenant_id=other&limit=1000")
    done = [c for c in after["commands"] if c["status"] == 200]
    assert len(done) == len(before["commands"])
    assert (await client.ok("GET", "/messages/of-other"))["message"]["status"] == "pending"
    # The key's own call "deliver now" is about its own tenant.
    await visitor.follow("run", on="")
    newest = (await client.ok("GET", "/command-log?limit=1"))["commands"][0]
    assert (newest["operation"], newest["tenant_id"]) == ("service.run_now", "mine")


@ONE_DATABASE
async def test_texts_of_strangers_are_shown_and_never_run(
    client: Client, visitor: Visitor, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint
) -> None:
    name = "a'\"><script>alert(1)</script>"
    smtp.on_recipient("bad@example.net", f"550 5.1.1 {PAYLOAD}")
    tenant = {"id": "acme", "name": PAYLOAD, "client_base_url": endpoint.url}
    await client.ok("POST", "/tenant", tenant)
    server = {"host": smtp.host, "port": smtp.port, "tls": "none", "tenant_id": "acme"}
    await client.ok("POST", "/account", {"id": name, "is_default": True, **server})
    mail = {**MAIL, "subject": PAYLOAD, "batch_code": name, "tenant_id": "acme"}
    mail["from"] = f'"{PAYLOAD.replace(chr(34), "")}" <a@example.org>'
    records = [{**mail, "id": name, "to": ["bad@example.net"]}]
    records.append({**mail, "id": "later", "deferred_ts": 4_000_000_000})
    await client.ok("POST", "/commands/add-messages", {"messages": records})
    await client.ok(
        "POST", "/suppression?tenant_id=acme", {"address": "x@example.net", "detail": PAYLOAD}
    )
    await client.in_state("error", "a'%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    shown = 0
    message = "t/acme/m/a'%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E"
    paths = [f"t/acme/{each}" for each in (*OF_TENANT, "audit")] + [*OF_ADMIN, "", message]
    for path in [
        *paths,
        f"t/acme/messages?q={PAYLOAD}",
        f"login?back={PAYLOAD}",
        "?done=<b>&n=<b>",
    ]:
        page = (await visitor.get(path)).text
        for running in ("<script>alert", "<img src=x", "49javascript", "<b>"):
            assert running not in page, path
        shown += unescape(page).count("<script>alert(1)")
    assert shown > 20
    lines = (await visitor.get("t/acme/messages.csv")).text
    assert "'\"><script>" in lines.replace('""', '"')


async def test_a_mail_that_a_customer_misses_is_found_explained_and_sent_again(
    client: Client, visitor: Visitor, smtp: ScriptedSmtpServer
) -> None:
    smtp.on_recipient("bob@example.net", "550 5.2.2 mailbox full", times=1)
    await client.account(smtp)
    await client.add("invoice-7", to=["bob@example.net"], subject="Invoice 7")
    await client.in_state("error", "invoice-7")
    overview = await visitor.page("")
    assert "550 5.2.2 mailbox full" in texts_of(overview)
    # The number in the overview leads to just these messages.
    (link,) = re.findall(
        r'href="(/ui/t/default/messages\?q=status%3Aerror%20account[^"]+)"', overview
    )
    assert "/ui/t/default/m/invoice-7" in await visitor.page(unescape(link))
    found = await visitor.page("t/default/messages?q=to:bob+status:error")
    assert "/ui/t/default/m/invoice-7" in found
    page = texts_of(await visitor.page("t/default/m/invoice-7"))
    for words in ("The mail was given up.", "The mailbox is full.", "not reported yet", "Try now"):
        assert words in page
    done = await visitor.follow("t/default/m/invoice-7/retry", on="t/default/m/invoice-7")
    assert "Back in the queue: 1" in texts_of(done)
    await client.in_state("sent", "invoice-7")
    page = texts_of(await visitor.page("t/default/m/invoice-7"))
    assert "The mail server accepted the mail." in page
    assert "messages.retry by admin" in page


async def test_an_account_in_trouble_is_named_tested_and_resumed(
    client: Client, visitor: Visitor, smtp: ScriptedSmtpServer
) -> None:
    smtp.on("MAIL", "535 5.7.8 bad credentials")
    await client.account(smtp)
    await client.add("first")
    status: dict[str, Any] = {}
    while not status.get("attention"):
        status = await client.ok("GET", "/status?full=true")
    for path in ("", "problems", "t/default/", "t/default/accounts", "t/default/accounts/smtp"):
        page = texts_of(await visitor.page(path))
        assert status["attention"][0]["text"].partition(": ")[2] in page, path
        assert "Test and resume" in page, path
    smtp.forget_script()
    tested = await visitor.post("t/default/accounts/smtp/test", on="")
    assert tested.status_code == 200
    assert "The account works" in texts_of(tested.text)
    assert "All is well" in texts_of(await visitor.page(""))


@ONE_DATABASE
async def test_filters_retry_and_cancel_touch_what_they_show(
    client: Client, visitor: Visitor, smtp: ScriptedSmtpServer
) -> None:
    smtp.on_recipient("gone@example.net", "550 5.1.1 no such user")
    await client.account(smtp)
    await client.add("bad-1", "bad-2", to=["gone@example.net"], batch_code="spring")
    await client.add("later-1", "later-2", "later-3", deferred_ts=4_000_000_000)
    await client.in_state("error", "bad-1", "bad-2")
    for line, ids in (
        ("status:error", {"bad-1", "bad-2"}),
        ("to:gone", {"bad-1", "bad-2"}),
        ("subject:gone", set()),
        ("from:a@example.org status:pending", {"later-1", "later-2", "later-3"}),
        ("waiting:scheduled", {"later-1", "later-2", "later-3"}),
        ("batch:spring code:550", {"bad-1", "bad-2"}),
        ('error:"no such user"', {"bad-1", "bad-2"}),
        ("account:smtp id:later-2", {"later-2"}),
        ("before:2020-01-01", set()),
        ("after:2020-01-01 before:2100-01-01T00:00Z status:error", {"bad-1", "bad-2"}),
    ):
        page = await visitor.page(f"t/default/messages?q={line}")
        shown = {"bad-1", "bad-2", "later-1", "later-2", "later-3"}
        assert {i for i in shown if f"/m/{i}" in page} == ids, line
        exported = (await visitor.get(f"t/default/messages.jsonl?q={line}")).text
        assert {i for i in shown if f'"id":"{i}"' in exported} == ids, line
        cells = (await visitor.get(f"t/default/messages.csv?q={line}")).text
        assert len(cells.splitlines()) == 1 + len(ids), line
    for line in ("status:lost", "after:yesterday", "code:9999", "waiting:bus"):
        wrong = await visitor.get(f"t/default/messages?q={line}")
        assert wrong.status_code == 422
        assert line.partition(":")[0] in texts_of(wrong.text)
    sure = await visitor.post("t/default/messages/retry", all="1", q="to:gone")
    assert "Put 2 messages back into the queue?" in texts_of(sure.text)
    assert (await client.message("bad-1"))["status"] == "error"
    done = await visitor.follow("t/default/messages/retry", all="1", q="to:gone", sure="1")
    assert "Back in the queue: 2" in texts_of(done)
    sure = await visitor.post("t/default/messages/remove", id=["later-1", "later-2"])
    assert "Cancel 2 messages?" in texts_of(sure.text)
    done = await visitor.follow("t/default/messages/remove", id="later-1", sure="1")
    assert "Removed: 1" in texts_of(done)
    assert (await client("GET", "/messages/later-1")).status_code == 404
    assert (await client("GET", "/messages/later-2")).status_code == 200
    assert (await visitor.post("t/default/messages/retry", q="")).status_code == 422


@ONE_DATABASE
async def test_the_first_steps_lead_to_a_sent_mail(
    client: Client, visitor: Visitor, smtp: ScriptedSmtpServer
) -> None:
    assert "First steps" in texts_of(await visitor.page(""))
    preset = await visitor.page("t/default/accounts/new?provider=google")
    assert 'value="smtp.gmail.com"' in preset
    account = {"id": "main", "host": smtp.host, "port": str(smtp.port), "tls": "none"}
    path, on = "t/default/accounts", "t/default/accounts/new"
    tested = await visitor.post(path, on=on, **account, test="1", password="hunter22")
    assert tested.status_code == 200
    assert "hunter22" not in tested.text
    assert (await client.ok("GET", "/accounts"))["accounts"] == []
    wrong = await visitor.post(path, on=on, **{**account, "port": "99999"})
    assert wrong.status_code == 422
    assert "port" in texts_of(wrong.text)
    assert "main" in await visitor.follow(path, on=on, **account)
    mail = {"from": "ann@example.org", "to": "ann@example.org", "subject": "s", "body": "b"}
    sent = await visitor.post("t/default/send", on="t/default/send", **mail)
    id_ = sent.headers["Location"].partition("/m/")[2].partition("?")[0]
    await client.in_state("sent", id_)
    bad = await visitor.post("t/default/send", on="t/default/send", **{**mail, "to": "no address"})
    assert bad.status_code == 422
    limit = {"limit_per_hour": "100", "host": smtp.host, "port": str(smtp.port), "tls": "none"}
    await visitor.follow("t/default/accounts/main", on="t/default/accounts/main", **limit)
    saved = (await client.ok("GET", "/account/main"))["account"]
    assert (saved["limit_per_hour"], saved["tls"]) == (100, "none")


@ONE_DATABASE
async def test_tenants_keys_and_lists_are_kept_with_forms(client: Client, visitor: Visitor) -> None:
    made = await visitor.post("tenants", on="tenants", id="acme", name="Acme")
    assert made.status_code == 200
    key = made.text.partition('aria-label="Key">')[2].partition("<")[0]
    assert (await client("GET", "/status", token=key)).status_code == 200
    assert (await visitor.post("tenants", on="tenants", id="acme")).status_code == 409
    assert (await visitor.post("tenants", on="tenants", id="a b")).status_code == 422
    asked = await visitor.post("t/acme/key", on="t/acme/settings")
    assert "stops working at once" in texts_of(asked.text)
    renewed = await visitor.post("t/acme/key", on="t/acme/settings", sure="1")
    assert (await client("GET", "/status", token=key)).status_code == 401
    assert key not in renewed.text
    fields = {"name": "Acme", "client_base_url": "https://app.example", "method": "bearer"}
    fields |= {"auth_secret": "hunter22", "active": "1", "daily": "500"}
    await visitor.follow("t/acme/settings", on="t/acme/settings", **fields)
    await visitor.follow("t/acme/settings", on="t/acme/settings", **{**fields, "auth_secret": ""})
    tenant = (await client.ok("GET", "/tenant/acme"))["tenant"]
    assert tenant["client_auth"] == {"method": "bearer", "token": "********"}
    assert tenant["rate_limits"] == {"hourly": None, "daily": 500}
    assert "hunter22" not in await visitor.page("t/acme/settings")
    place = "t/acme/suppressions"
    await visitor.follow(place, on=place, address="bob@example.net", detail="by phone")
    assert "by phone" in await visitor.page(f"{place}?q=bob@example.net")
    await visitor.follow(f"{place}/remove", on=place, address="bob@example.net")
    assert (await client.ok("GET", "/suppressions"))["suppressions"] == []
    assert (await visitor.post(place, on=place, address="nobody")).status_code == 422
    key_form = {"domain": "example.org", "algorithm": "ed25519-sha256"}
    assert "v=DKIM1" in await visitor.follow("t/acme/dkim", on="t/acme/dkim", **key_form)
    named = {"domain": "example.org", "selector": "gmp1"}
    await visitor.follow("t/acme/dkim/remove", on="t/acme/dkim", **named)
    mount = {"name": "docs", "protocol": "memory", "config": "{}"}
    assert "docs" in await visitor.follow("t/acme/storages", on="t/acme/storages", **mount)
    wrong = {**mount, "config": "{"}
    assert (await visitor.post("t/acme/storages", on="t/acme/storages", **wrong)).status_code == 422
    await visitor.follow("t/acme/storages/remove", on="t/acme/storages", name="docs")
    asked = await visitor.post("t/acme/suspend", on="t/acme/batches")
    assert "0 messages of the tenant are unfinished." in texts_of(asked.text)
    await visitor.follow("t/acme/suspend", on="t/acme/batches", sure="1", batch_code="spring")
    assert "suspended" in texts_of(await visitor.page("t/acme/batches"))
    await visitor.follow("t/acme/activate", on="t/acme/batches", batch_code="spring")
    assert (await client.ok("GET", "/tenant/acme"))["tenant"]["suspended_batches"] == []
    await visitor.follow("setup", on="setup", name="prod", max_enqueue_batch="500")
    assert (await client.ok("GET", "/instance"))["instance"]["settings"]["max_enqueue_batch"] == 500
    assert (await visitor.post("t/acme/delete", on="t/acme/settings", name="no")).status_code == 200
    await visitor.follow("t/acme/delete", on="t/acme/settings", name="acme")
    assert (await client("GET", "/tenant/acme")).status_code == 404
    entries = texts_of(await visitor.page("audit"))
    for name in ("tenants.save", "dkim.create", "suspend", "tenants.delete"):
        assert name in entries


@ONE_DATABASE
async def test_pages_are_in_the_language_of_the_browser(client: Client) -> None:
    for wanted, word in (("it", "Accedi"), ("it-IT,en;q=0.5", "Accedi"), ("de", "Log in")):
        assert word in await Visitor(client.http, wanted).page("login")
    italian = Visitor(client.http, "it")
    await italian.log_in("admin-token")
    page = await italian.page("")
    assert '<html lang="it">' in page
    for english in ("Taken in", "Why things wait", "Nothing waits"):
        assert english not in page


@ONE_DATABASE
async def test_the_reference_is_shown_inside(client: Client, visitor: Visitor) -> None:
    page = await visitor.page("reference")
    assert "/commands/add-messages" in page
    assert "object-MessageIn" in page
    assert (await visitor.get("static/x/ui.css")).headers["Content-Type"].startswith("text/css")
    assert (await visitor.get("static/x/nothing.css")).status_code == 404
