"""One cell of each kind of the reply matrix, as the owner of the message sees it."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
import trustme
from tests.harness.patience import with_growing_patience
from tests.harness.running import mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy import ProxyConfig
from mail_proxy.testing.smtp_server import Act, Script, ScriptedSmtpServer, Stage

#: An outcome is written by the same statements whatever the reply was.
ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
#: Nothing is tried a second time while the test looks.
ONCE = {"retry_delays": "900", "max_retries": 3}
#: Stage, what the server does there, the message's state, the words of its reason, the code.
MESSAGE_CELLS: list[tuple[Stage, Script, str, str, int | None]] = [
    ("MAIL", "452 4.3.1 disk is full", "deferred", "MAIL refused: 452 4.3.1 disk is full", 452),
    ("MAIL", "552 5.3.4 too large", "error", "MAIL refused: 552 5.3.4 too large", 552),
    ("MAIL", Act.DROP, "deferred", "the server closed the connection (at MAIL)", None),
    ("MAIL", Act.SILENCE, "deferred", "timed out waiting for the server (at MAIL)", None),
    ("RCPT", "450 4.2.0 greylisted", "deferred", "bob@example.net: 450 4.2.0 greylisted", 450),
    ("RCPT", "550 5.7.1 relaying denied", "error", "550 5.7.1 relaying denied", 550),
    ("RCPT", "554 5.7.1 relay access denied", "error", "554 5.7.1 relay access denied", 554),
    ("RCPT", "no reply at all", "deferred", "not an SMTP reply (at RCPT)", None),
    ("RCPT", ("421 4.3.2 closing", Act.DROP), "deferred", "421 4.3.2 closing", 421),
    ("RCPT", Act.DROP, "deferred", "the server closed the connection (at RCPT)", None),
    ("RCPT", Act.SILENCE, "deferred", "timed out waiting for the server (at RCPT)", None),
    ("DATA", "452 4.3.1 disk is full", "deferred", "DATA refused: 452 4.3.1 disk is full", 452),
    ("DATA", Act.DROP, "deferred", "the server closed the connection (at DATA)", None),
    ("DATA", Act.SILENCE, "deferred", "timed out waiting for the server (at DATA)", None),
    ("DATA", ("421 4.3.2 closing", Act.DROP), "deferred", "DATA refused: 421 4.3.2 closing", 421),
    ("DATA", "554 5.5.1 no", "error", "DATA refused: 554 5.5.1 no", 554),
    ("end of data", "451 4.7.1 later", "deferred", "end of data refused: 451 4.7.1 later", 451),
    ("end of data", "552 5.3.4 large", "error", "end of data refused: 552 5.3.4 large", 552),
    ("end of data", "550 5.7.1 spam", "error", "end of data refused: 550 5.7.1 spam", 550),
]
ACCOUNT_CELLS: list[tuple[Stage, Script, str]] = [
    ("connect", "421 4.7.0 too many connections", "greeting refused: 421 4.7.0 too many"),
    ("connect", Act.DROP, ""),
    ("connect", Act.SILENCE, ""),
    ("connect", "554 5.7.1 not you", "greeting refused: 554 5.7.1 not you"),
    ("EHLO", "550 5.7.1 not you", "EHLO refused: 550 5.7.1 not you"),
    ("EHLO", "451 4.3.0 not now", "EHLO refused: 451 4.3.0 not now"),
    ("EHLO", Act.DROP, ""),
    ("EHLO", Act.SILENCE, ""),
    ("STARTTLS", "454 4.7.0 TLS is away", "STARTTLS refused: 454 4.7.0 TLS is away"),
    ("STARTTLS", "554 5.7.0 no TLS", "STARTTLS refused: 554 5.7.0 no TLS"),
    ("STARTTLS", Act.DROP, ""),
    ("STARTTLS", Act.SILENCE, ""),
    ("AUTH", "535 5.7.8 wrong password", "AUTH refused: 535 5.7.8 wrong password"),
    ("AUTH", "454 4.7.0 the directory is away", "AUTH refused: 454 4.7.0 the directory"),
    ("AUTH", Act.DROP, ""),
    ("AUTH", Act.SILENCE, ""),
    ("MAIL", "530 5.7.0 log in first", "MAIL refused: 530 5.7.0 log in first"),
    ("MAIL", ("421 4.3.2 restarting", Act.DROP), "MAIL refused: 421 4.3.2 restarting"),
]


@ONE_DATABASE
@pytest.mark.parametrize(("stage", "script", "state", "words", "code"), MESSAGE_CELLS)
async def test_what_the_server_does_to_a_message_is_its_state_and_its_reason(
    config: Settings,
    server: ScriptedSmtpServer,
    stage: Stage,
    script: Script,
    state: str,
    words: str,
    code: int | None,
) -> None:
    async def attempt(seconds: float) -> None:
        server.forget_script()
        server.on(stage, script)
        timing = {"send_timeout": seconds} if script is Act.SILENCE else {}
        id_ = f"within {seconds} s"
        async with running(config(retry=ONCE, timing=timing)) as post:
            await post.account(server)
            await post.add(mail(id_))
            shown = await post.in_state(id_, state)
            *_, event = await post.events(id_)
        reason = event.event_data["deferred_reason" if state == "deferred" else "error"]
        assert words in reason
        assert shown.error == reason
        assert (event.event_type, event.event_data["code"]) == (state, code)
        assert shown.retry_count == (1 if state == "deferred" else 0)
        assert "uncertain" not in event.event_data
        assert server.accepted == []

    await with_growing_patience(attempt)


@ONE_DATABASE
@pytest.mark.parametrize("script", [Act.DROP, Act.SILENCE, "no reply at all", "354 go on"])
@pytest.mark.parametrize(("on_uncertain", "state"), [("retry", "deferred"), ("hold", "error")])
async def test_an_end_that_nobody_answers_for_is_uncertain(
    config: Settings,
    server: ScriptedSmtpServer,
    script: Script,
    on_uncertain: str,
    state: str,
) -> None:
    async def attempt(seconds: float) -> None:
        server.forget_script()
        server.commands.clear()
        server.on("end of data", script)
        timing = {"send_timeout": seconds} if script is Act.SILENCE else {}
        retry = {**ONCE, "on_uncertain": on_uncertain}
        id_ = f"within {seconds} s"
        async with running(config(retry=retry, timing=timing)) as post:
            await post.account(server)
            await post.add(mail(id_))
            shown = await post.in_state(id_, state)
            *_, event = await post.events(id_)
        assert event.event_data.get("uncertain") is True
        assert shown.error is not None
        assert shown.error.startswith("uncertain")
        assert len([line for _, line in server.commands if line == "DATA"]) == 1

    # On a busy machine, so short a time-out may end an earlier stage.
    await with_growing_patience(attempt)


@ONE_DATABASE
@pytest.mark.parametrize(("stage", "script", "words"), ACCOUNT_CELLS)
async def test_trouble_of_the_account_costs_the_message_no_attempt(
    config: Settings, stage: Stage, script: Script, words: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    timing = {"send_timeout": 0.3} if script is Act.SILENCE else {}
    login = {"tls": "auto", "verify_cert": False, "user": "u", "password": "secret"}
    async with ScriptedSmtpServer(tls_context=context, users={"u": "secret"}) as server:
        server.on(stage, script)
        await trouble_costs_no_attempt(config(retry=ONCE, timing=timing), server, login, words)
        server.forget_script()
        async with running(config(retry=ONCE)) as post:
            # Saved again, an account is used at once: its pause was for the old settings.
            await post.account(server, **login)
            await post.run_now()
            assert (await post.in_state("m1", "sent")).retry_count == 0


async def trouble_costs_no_attempt(
    config: ProxyConfig, server: ScriptedSmtpServer, login: dict[str, Any], words: str
) -> None:
    async with running(config) as post:
        await post.account(server, **login)
        await post.add(mail())
        shown = await post.in_state("m1", "deferred")
        *_, event = await post.events("m1")
        assert event.event_type == "deferred"
        assert event.event_data["deferred_reason"]
        assert words in event.event_data["deferred_reason"]
        assert shown.retry_count == 0
        assert server.accepted == []


async def test_when_all_connections_are_refused_at_once_the_account_is_in_trouble(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    """And not crowded: then each would leave its message to the others, which are not there."""
    ids = [f"m{n}" for n in range(60)]
    server.on("connect", ("421 4.7.0 too many connections", Act.DROP))
    async with running(config(retry=ONCE)) as post:
        await post.account(server)
        await post.add(*[mail(id_) for id_ in ids])
        await post.in_state("m0", "deferred")
        server.forget_script()
        await post.account(server)
        await post.reports.sent(*ids)
    assert len(server.accepted) == len(ids)


async def test_a_message_that_the_server_is_too_small_for_ends_without_an_attempt(
    config: Settings,
) -> None:
    async with ScriptedSmtpServer(size=200) as server, running(config()) as post:
        await post.account(server)
        await post.add(mail(body="x" * 500))
        shown = await post.in_state("m1", "error")
    assert shown.error is not None
    assert "the server takes at most 200" in shown.error
    assert [line for _, line in server.commands if line.startswith("MAIL")] == []


async def test_a_non_ascii_address_needs_a_server_that_knows_it(config: Settings) -> None:
    async with ScriptedSmtpServer(smtputf8=False) as server, running(config()) as post:
        await post.account(server)
        await post.add(mail(to="bòb@example.net"), mail("m2"))
        shown = await post.in_state("m1", "error")
        await post.in_state("m2", "sent")
    assert shown.error is not None
    assert "SMTPUTF8" in shown.error
