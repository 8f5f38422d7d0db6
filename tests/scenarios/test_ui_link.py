"""``mail-proxy NAME open``: from the command line into the dashboard."""

from __future__ import annotations

import httpx
from tests.harness.command_line import CommandLine
from tests.harness.dashboard import seal_of


def test_open_prints_a_link_that_logs_in_once(mail_proxy: CommandLine) -> None:
    stopped = mail_proxy("shop", "open")
    assert stopped.returncode != 0
    running = mail_proxy.started("shop")
    link = mail_proxy("shop", "open").stdout.split()[0]
    assert link.startswith(f"{running.url}/ui/open?code=")
    with httpx.Client(trust_env=False, timeout=60) as http:
        page = http.get(link)
        form = {"seal": seal_of(page.text), "code": link.partition("code=")[2]}
        assert http.post(f"{running.url}/ui/open", data=form).headers["Location"] == "/ui/"
        assert http.get(f"{running.url}/ui/setup").status_code == 200
    with httpx.Client(trust_env=False, timeout=60) as other:
        form["seal"] = seal_of(other.get(link).text)
        assert other.post(f"{running.url}/ui/open", data=form).status_code == 401
