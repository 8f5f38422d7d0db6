"""The calls about the bounce mailbox itself: test and reload."""

from __future__ import annotations

import pytest
from tests.protocols.rest.client import ONE_DATABASE, Client

from mail_proxy.testing.imap_server import ImapServer

USER, PASSWORD = "bounces", "secret-of-the-mailbox"
pytestmark = ONE_DATABASE


async def test_a_test_says_what_works_and_which_stage_fails(idle: Client) -> None:
    assert (await idle("POST", "/instance/bounce/test")).status_code == 409
    async with ImapServer({USER: PASSWORD}) as imap:
        imap.append(USER, b"Subject: hello\r\n\r\nhello\r\n")
        place = {"imap_host": imap.host, "imap_port": imap.port, "imap_user": USER}
        body = {**place, "imap_password": PASSWORD, "imap_tls": "none"}
        await idle.ok("PUT", "/instance/bounce", body)
        found = await idle.ok("POST", "/instance/bounce/test")
        assert found == {"ok": True, "stage": None, "error": None, "messages": 1}
        assert not imap.mails(USER)[0].flags
        await idle.ok("PUT", "/instance/bounce", {"imap_folder": "Missing"})
        assert (await idle.ok("POST", "/instance/bounce/test"))["stage"] == "select"
        await idle.ok("PUT", "/instance/bounce", {"imap_password": "wrong"})
        failed = await idle.ok("POST", "/instance/bounce/test")
        assert (failed["ok"], failed["stage"]) == (False, "login")
        assert "Authentication failed" in failed["error"]
        await idle.ok("PUT", "/instance/bounce", {**body, "imap_tls": "starttls"})
        assert (await idle.ok("POST", "/instance/bounce/test"))["stage"] == "tls"
    assert (await idle.ok("POST", "/instance/bounce/test"))["stage"] == "connect"


@pytest.mark.parametrize("path", ["/instance/bounce/reload", "/instance/reload-bounce"])
async def test_both_routes_reload_for_the_administrator_alone(idle: Client, path: str) -> None:
    key = await idle.tenant("acme")
    assert (await idle("POST", path, token=key)).status_code == 403
    assert await idle.ok("POST", path) == {"ok": True}
