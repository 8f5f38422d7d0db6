"""A scrape of an instance whose mail is sent by another process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import httpx
from tests.harness.command_line import CommandLine, wait_for
from tests.harness.running import delivering, mail
from tests.harness.scrape import Scrape

from mail_proxy.testing.smtp_server import ScriptedSmtpServer

_LIMIT_SECONDS = 60.0


async def shown(http: httpx.AsyncClient, holds: Callable[[Scrape], bool]) -> Scrape:
    """The first scrape of which this holds."""
    async with asyncio.timeout(_LIMIT_SECONDS):
        while not holds(scrape := Scrape((await http.get("/metrics")).text)):
            await asyncio.sleep(0.02)
    return scrape


async def test_what_the_worker_did_is_in_it_also_after_it_was_killed(
    mail_proxy: CommandLine,
) -> None:
    running = await asyncio.to_thread(mail_proxy.started, "shop", "--workers", "1")
    headers = {"X-API-Token": mail_proxy.instance("shop").token() or ""}
    async with (
        ScriptedSmtpServer() as smtp,
        httpx.AsyncClient(
            base_url=running.url, headers=headers, trust_env=False, timeout=_LIMIT_SECONDS
        ) as http,
    ):
        account = {"id": "smtp", "host": smtp.host, "port": smtp.port, "tls": "none"}
        (await http.post("/account", json=account)).raise_for_status()

        async def send(*messages: dict[str, object]) -> None:
            sent = await http.post("/commands/add-messages", json={"messages": messages})
            sent.raise_for_status()

        smtp.on_recipient("gone@x.example", "550 5.1.1 no")
        await send(mail("m1"), mail("m2"), mail("failed", to="gone@x.example"))
        finished = await shown(
            http,
            lambda s: (
                s("gmp_pending_messages") == 0
                and s("gmp_delivery_seconds_count") == 2
                and s("gmp_errors_total") == 1
            ),
        )
        assert finished("gmp_sent_total", account_id="smtp") == 2
        assert finished("gmp_errors_total", account_id="smtp") == 1
        assert finished("gmp_delivery_seconds_count", account_id="smtp") == 2
        assert finished("gmp_delivery_seconds_bucket", account_id="smtp", le="60.0") == 2
        assert finished("gmp_delivery_seconds_sum", account_id="smtp") > 0
        assert finished("gmp_smtp_seconds_count", phase="mail") == 3
        assert finished("gmp_smtp_seconds_count", phase="data") == 2
        # What only this process knows, and what each says for itself, is there once.
        assert finished("gmp_account_up", account_id="smtp") == 1
        assert finished("gmp_build_info") == 1
        assert finished("gmp_http_request_seconds_count", route="/account", status="200") == 1

        (worker,) = delivering(running.pid)
        os.kill(worker, signal.SIGKILL)
        await asyncio.to_thread(wait_for, lambda: delivering(running.pid) - {worker} or None)
        await send(mail("m3"))
        await smtp.received(3)
        again = await shown(
            http, lambda s: s("gmp_sent_total") == s("gmp_delivery_seconds_count") == 3
        )
        assert again("gmp_delivery_seconds_count", account_id="smtp") == 3
        assert again("gmp_smtp_seconds_count", phase="mail") == 4
    stopped = await asyncio.to_thread(mail_proxy, "stop", "shop")
    assert stopped.returncode == 0, stopped.stderr
