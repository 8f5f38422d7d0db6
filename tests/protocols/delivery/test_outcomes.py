"""What the server answers, and what becomes of the message."""

from __future__ import annotations

import pytest
from tests.harness.running import mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer

QUICK = {"retry_delays": "0.02", "max_retries": 3}


def given_to(server: ScriptedSmtpServer, address: str) -> int:
    """How many accepted mails name this recipient."""
    return sum(address in accepted.recipients for accepted in server.accepted)


def asked_for(server: ScriptedSmtpServer, address: str) -> int:
    return sum(f"<{address}>" in text for _, text in server.commands if text.startswith("RCPT"))


async def test_a_temporary_refusal_is_retried_and_told_once_for_each_attempt(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on("end of data", "451 4.3.0 try later", times=2)
    async with running(config(retry=QUICK)) as post:
        await post.account(server)
        await post.add(mail())
        await post.reports.sent("m1")
        assert post.reports.kinds("m1") == ["deferred", "deferred", "sent"]
        (first, *_) = await post.reports.wait_for("deferred", "m1")
        assert "451" in first["deferred_reason"]
        assert "try later" in first["deferred_reason"]
        assert first["retry_ts"] >= first["deferred_ts"]
        shown = await post.message("m1")
        events = await post.events("m1")
    assert len(server.accepted) == 1
    assert (shown.status, shown.retry_count, shown.error) == ("sent", 2, None)
    assert [e.event_type for e in events] == ["queued", "deferred", "deferred", "sent"]


async def test_after_the_last_retry_the_error_says_how_many_there_were_and_why(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on("MAIL", "450 4.2.0 greylisted")
    async with running(config(retry=QUICK)) as post:
        await post.account(server)
        await post.add(mail())
        text = await post.reports.error("m1")
        assert text.startswith("Max retries (3) exceeded: ")
        assert "450 4.2.0 greylisted" in text
        assert post.reports.kinds("m1") == ["deferred"] * 3 + ["error"]
        assert (await post.message("m1")).status == "error"


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "end of data"])
async def test_a_permanent_refusal_ends_in_error_at_once_with_code_and_text(
    config: Settings, server: ScriptedSmtpServer, stage: str
) -> None:
    server.on(stage, "554 5.7.1 we do not want this")  # type: ignore[arg-type]
    async with running(config()) as post:
        await post.account(server)
        await post.add(mail())
        (report,) = await post.reports.wait_for("error", "m1")
        assert report["code"] == 554
        assert "we do not want this" in report["error"]
        assert post.reports.kinds("m1") == ["error"]
        assert (await post.message("m1")).retry_count == 0


async def test_each_recipient_has_its_own_fate_and_nobody_gets_it_twice(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on_recipient("gone@x.example", "550 5.1.1 no such user")
    server.on_recipient("busy@x.example", "450 4.2.1 mailbox busy", times=1)
    async with running(config(retry=QUICK)) as post:
        await post.account(server)
        await post.add(mail(to="ok@x.example, gone@x.example, busy@x.example"))
        first, second = await post.reports.wait_for("sent", "m1", times=2)
        shown = await post.in_state("m1", "sent")

    assert [given_to(server, f"{n}@x.example") for n in ("ok", "gone", "busy")] == [1, 0, 1]
    assert [asked_for(server, f"{n}@x.example") for n in ("ok", "gone", "busy")] == [1, 1, 2]
    assert statuses(first["recipients"]) == {"ok": "sent", "gone": "failed", "busy": "deferred"}
    assert statuses(second["recipients"]) == {"ok": "sent", "gone": "failed", "busy": "sent"}
    assert shown.recipients == second["recipients"]
    gone = next(r for r in second["recipients"] if r["address"] == "gone@x.example")
    assert (gone["code"], "no such user" in gone["response"]) == (550, True)


async def test_only_the_temporary_refusals_are_retried_when_nobody_was_accepted(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on_recipient("gone@x.example", "550 5.1.1 no such user")
    server.on_recipient("busy@x.example", "450 4.2.1 mailbox busy", times=1)
    async with running(config(retry=QUICK)) as post:
        await post.account(server)
        await post.add(mail(to="gone@x.example, busy@x.example"))
        (report,) = await post.reports.wait_for("sent", "m1")
    assert asked_for(server, "gone@x.example") == 1
    assert statuses(report["recipients"]) == {"gone": "failed", "busy": "sent"}


async def test_a_message_that_waits_for_some_recipients_can_still_be_replaced_if_nobody_has_it(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on_recipient("gone@x.example", "550 5.1.1 no such user")
    server.on_recipient("busy@x.example", "450 4.2.1 mailbox busy", times=1)
    async with running(config()) as post:
        await post.account(server)
        await post.add(mail(to="gone@x.example, busy@x.example"))
        await post.reports.wait_for("deferred", "m1")
        assert (await post.add(mail(to="new@x.example"))).queued == 1
        (report,) = await post.reports.wait_for("sent", "m1")
    assert "recipients" not in report
    assert [a.recipients for a in server.accepted] == [("new@x.example",)]


async def test_a_message_that_somebody_has_cannot_be_replaced_while_the_rest_is_retried(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on_recipient("busy@x.example", "450 4.2.1 mailbox busy")
    async with running(config()) as post:
        await post.account(server)
        await post.add(mail(to="ok@x.example, busy@x.example"), mail("other"))
        await post.reports.sent("m1")
        answer = await post.add(mail(to="ok@x.example"), mail("third"))
        assert [(d.id, d.status) for d in answer.duplicates] == [("m1", "deferred")]
        await post.reports.sent("third")
    assert given_to(server, "ok@x.example") == 1


async def test_recipients_that_stay_busy_are_given_up_and_the_message_counts_as_sent(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on_recipient("busy@x.example", "450 4.2.1 mailbox busy")
    async with running(config(retry={"retry_delays": "0.02", "max_retries": 1})) as post:
        await post.account(server)
        await post.add(mail(to="ok@x.example, busy@x.example"))
        *_, last = await post.reports.wait_for("sent", "m1", times=2)
        assert statuses(last["recipients"]) == {"ok": "sent", "busy": "failed"}
        assert (await post.in_state("m1", "sent")).retry_count == 1
    assert given_to(server, "ok@x.example") == 1


async def test_an_outcome_nobody_knows_is_retried_and_called_uncertain(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on("end of data", Act.DROP, times=1)
    async with running(config(retry=QUICK)) as post:
        await post.account(server)
        await post.add(mail())
        await post.reports.sent("m1")
        deferred = next(e for e in await post.events("m1") if e.event_type == "deferred")
    assert deferred.event_data["uncertain"] is True
    assert deferred.event_data["deferred_reason"].count("uncertain") == 1


async def test_an_uncertain_outcome_on_hold_is_an_error_and_no_second_copy(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on("end of data", Act.DROP, times=1)
    async with running(config(retry={**QUICK, "on_uncertain": "hold"})) as post:
        await post.account(server)
        await post.add(mail())
        text = await post.reports.error("m1")
        assert text.startswith("uncertain")
        assert text.count("uncertain") == 1
        await post.add(mail("m2"))
        await post.reports.sent("m2")
        error = next(e for e in await post.events("m1") if e.event_type == "error")
        assert error.event_data["uncertain"] is True
    assert [a.recipients for a in server.accepted] == [("bob@example.net",)]


async def test_who_was_refused_for_good_is_not_asked_again_after_an_uncertain_outcome(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on_recipient("gone@x.example", "550 5.1.1 no such user")
    server.on("end of data", Act.DROP, times=1)
    async with running(config(retry=QUICK)) as post:
        await post.account(server)
        await post.add(mail(to="gone@x.example, ok@x.example"))
        (report,) = await post.reports.wait_for("sent", "m1")
    assert asked_for(server, "gone@x.example") == 1
    assert statuses(report["recipients"]) == {"gone": "failed", "ok": "sent"}


async def test_a_connection_lost_before_the_data_is_an_ordinary_retry(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on("DATA", Act.DROP, times=1)
    async with running(config(retry=QUICK)) as post:
        await post.account(server)
        await post.add(mail())
        await post.reports.sent("m1")
        deferred = next(e for e in await post.events("m1") if e.event_type == "deferred")
    assert "uncertain" not in deferred.event_data
    assert len(server.accepted) == 1


async def test_a_server_that_falls_silent_is_given_up_after_send_timeout(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on("RCPT", Act.SILENCE, times=1)
    patient = {**QUICK, "max_retries": 100}  # so short a time-out may end good attempts too
    async with running(config(retry=patient, timing={"send_timeout": 0.2})) as post:
        await post.account(server)
        await post.add(mail())
        await post.reports.sent("m1")
        deferred, *_ = await post.reports.wait_for("deferred", "m1")
    assert "timed out" in deferred["deferred_reason"]


async def test_a_pooled_connection_that_the_server_has_closed_costs_no_attempt(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async with running(config()) as post:
        await post.account(server)
        await post.add(mail("m1"))
        await post.reports.sent("m1")
        await server.drop_connections(last_words="421 4.4.2 idle for too long")
        await post.add(mail("m2"))
        await post.reports.sent("m2")
        assert post.reports.kinds("m2") == ["sent"]
    assert server.connections == 2


def statuses(recipients: list[dict[str, str]]) -> dict[str, str]:
    return {r["address"].partition("@")[0]: r["status"] for r in recipients}
