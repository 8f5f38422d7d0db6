"""Django: the e-mail backend, the outbox, and the view that takes reports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from email.mime.image import MIMEImage
from email.mime.text import MIMEText
from io import StringIO
from smtplib import SMTPException
from typing import Any

import pytest
from tests.contrib.conftest import SECRET, TOKEN, Service
from tests.contrib.django_settings import configure
from tests.harness.patience import PATIENCE_SECONDS

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
_GONE = "http://127.0.0.1:1"


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> None:
    configure(tmp_path_factory.mktemp("django"))
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


@pytest.fixture
def project_settings(project: None, service: Service) -> Iterator[dict[str, Any]]:
    """Settings of the project as a dictionary that tests may change."""
    from django.test import override_settings

    values = {
        "MAIL_PROXY_URL": service.url,
        "MAIL_PROXY_TOKEN": TOKEN,
        "MAIL_PROXY_SIGNING_SECRET": SECRET,
    }
    with override_settings(**values):
        yield values


@pytest.mark.usefixtures("project_settings")
def test_a_mail_of_send_mail_arrives(service: Service) -> None:
    from django.core.mail import send_mail

    assert send_mail("Grüße", "Hallo\n", "Shop <shop@example.com>", ["a1@example.org"]) == 1
    mail, parsed = service.mail_to("a1@example.org")
    assert mail.mail_from == "shop@example.com"
    assert (parsed["Subject"], parsed["From"]) == ("Grüße", "Shop <shop@example.com>")
    assert parsed.get_content().strip() == "Hallo"


@pytest.mark.usefixtures("project_settings")
def test_all_that_a_mail_of_django_can_have_arrives(service: Service) -> None:
    from django.core.mail import EmailMultiAlternatives

    mail = EmailMultiAlternatives(
        "Order",
        "Plain",
        "bounces@example.com",
        ["a2@example.org"],
        bcc=["hidden@example.org"],
        cc=["copy@example.org"],
        reply_to=["help@example.com"],
        headers={"X-Shop": "1", "Message-ID": "<order-2@example.com>", "From": "s@example.com"},
    )
    mail.attach_alternative('<img src="cid:logo">', "text/html")
    mail.attach("Übersicht.csv", "a;b\n", "text/csv")
    logo = MIMEImage(PNG, "png", name="logo.png")
    logo.add_header("Content-ID", "<logo>")
    logo.add_header("Content-Disposition", "inline", filename="logo.png")
    mail.attach(logo)
    mail.mail_proxy = {"id": "order-2", "priority": "high", "batch_code": "orders"}
    assert mail.send() == 1
    got, parsed = service.mail_to("a2@example.org")
    assert got.mail_from == "bounces@example.com"
    assert set(got.recipients) == {"a2@example.org", "copy@example.org", "hidden@example.org"}
    assert "hidden" not in got.data.decode("ascii")
    assert (parsed["From"], parsed["X-Shop"], parsed["Reply-To"]) == (
        "s@example.com",
        "1",
        "help@example.com",
    )
    assert parsed["Message-ID"] == "<order-2@example.com>"
    parts = {p.get_filename(): p for p in parsed.walk() if p.get_filename()}
    assert parts["Übersicht.csv"].get_content_type() == "text/csv"
    assert parts["logo.png"].get_payload(decode=True) == PNG
    assert parts["logo.png"]["Content-ID"] == "<logo>"
    html = parsed.get_body(("html",))
    assert html is not None and html.get_content().strip() == '<img src="cid:logo">'
    stored = service.client.messages.get("order-2")
    assert (stored.priority, stored.batch_code) == (1, "orders")


@pytest.mark.usefixtures("project_settings")
@pytest.mark.parametrize("kind", ["amp", "calendar", "message", "date", "own"])
def test_a_mail_that_fields_cannot_express_is_sent_as_django_writes_it(
    service: Service, kind: str
) -> None:
    from django.core.mail import EmailMessage, EmailMultiAlternatives

    class Own(EmailMultiAlternatives):
        def message(self, **options: Any) -> Any:
            composed = super().message(**options)
            composed["X-Own"] = "yes"
            return composed

    to = f"{kind}@example.org"
    mail = (Own if kind == "own" else EmailMultiAlternatives)(
        "S", "B", "s@example.com", [to], bcc=["hidden@example.org"]
    )
    if kind == "amp":
        mail.attach_alternative("<html amp4email>", "text/x-amp-html")
        mail.attach_alternative("<p>", "text/html")
    elif kind == "calendar":
        part = MIMEText("BEGIN:VCALENDAR", "calendar")
        part.add_header("Content-Class", "urn:x")
        mail.attach_alternative("BEGIN:VCALENDAR", "text/calendar")
    elif kind == "message":
        mail.attach(None, EmailMessage("Inner", "I", "s@example.com", [to]), "message/rfc822")
    elif kind == "date":
        mail.extra_headers["Date"] = "Fri, 01 Jan 2027 10:00:00 +0000"
    assert mail.send() == 1
    got, parsed = service.mail_to(to)
    assert b"hidden" not in got.data
    kinds = [part.get_content_type() for part in parsed.walk()]
    expected = {
        "amp": "text/x-amp-html" in kinds,
        "calendar": "text/calendar" in kinds,
        "message": "message/rfc822" in kinds,
        "date": parsed["Date"] == "Fri, 01 Jan 2027 10:00:00 +0000",
        "own": parsed["X-Own"] == "yes",
    }
    assert expected[kind]


@pytest.mark.usefixtures("project_settings")
def test_a_refused_mail_is_an_error_and_the_others_are_queued(service: Service) -> None:
    from django.core.mail import EmailMessage, get_connection

    wrong = EmailMessage("S", "B", "s@example.com", ["a b@example.org"])
    good = EmailMessage("S", "B", "s@example.com", ["a3@example.org"])
    nobody = EmailMessage("S", "B", "s@example.com", [])
    with pytest.raises(SMTPException, match="1 of 2 mails refused") as refused:
        get_connection().send_messages([wrong, nobody, good])
    assert [r.code for r in refused.value.refusals] == ["malformed"]  # type: ignore[attr-defined]
    service.mail_to("a3@example.org")
    silent = get_connection(fail_silently=True)
    assert silent.send_messages([wrong]) == 0
    good.mail_proxy = {"prio": 1}
    with pytest.raises(ValueError, match="unknown options in mail_proxy: prio"):
        good.send()


def test_a_service_that_is_away_is_an_error(
    project_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.core.mail import send_mail
    from django.test import override_settings

    monkeypatch.setattr("mail_proxy.client.retries.Retries.attempts", 1, raising=False)
    with override_settings(MAIL_PROXY_URL=_GONE, MAIL_PROXY_TIMEOUT_SECONDS=1):
        with pytest.raises(SMTPException, match="no answer"):
            send_mail("S", "B", "s@example.com", ["a@example.org"])
        assert send_mail("S", "B", "s@example.com", ["a@example.org"], fail_silently=True) == 0


@pytest.mark.usefixtures("project_settings")
def test_reports_become_signals_and_a_failing_receiver_gets_them_again(
    service: Service, wsgi_server: Callable[[Any], str], reported_to: Callable[[str], None]
) -> None:
    from django.core.mail import EmailMessage
    from django.core.wsgi import get_wsgi_application

    from mail_proxy.contrib.django.signals import delivery_report

    seen: list[tuple[str, str]] = []
    twice = threading.Event()

    def receiver(report: Any, event: str, **_: Any) -> None:
        if report.id != "signal-1":
            return
        seen.append((report.id, event))
        if len(seen) == 1:
            raise RuntimeError("not yet")
        twice.set()

    delivery_report.connect(receiver)
    try:
        reported_to(wsgi_server(get_wsgi_application()))
        mail = EmailMessage("S", "B", "s@example.com", ["a4@example.org"])
        mail.mail_proxy = {"id": "signal-1"}
        mail.send()
        assert twice.wait(PATIENCE_SECONDS)
    finally:
        delivery_report.disconnect(receiver)
    assert seen[:2] == [("signal-1", "sent")] * 2


@pytest.mark.usefixtures("project_settings")
def test_a_report_call_without_signature_is_refused() -> None:
    from django.test import Client

    answer = Client().post("/mail-proxy/sync", b"{}", content_type="application/json")
    assert answer.status_code == 401
    assert Client().get("/mail-proxy/sync").status_code == 405


@pytest.mark.usefixtures("project_settings")
def test_a_mail_of_the_outbox_goes_with_the_transaction(service: Service) -> None:
    from django.core.mail import EmailMessage, get_connection
    from django.db import transaction

    from mail_proxy.contrib.django.models import OutboxMessage

    outbox = get_connection("mail_proxy.contrib.django.OutboxBackend")
    lost = EmailMessage("S", "B", "s@example.com", ["lost@example.org"], connection=outbox)
    kept = EmailMessage("S", "B", "s@example.com", ["kept@example.org"], connection=outbox)
    with pytest.raises(RuntimeError), transaction.atomic():
        lost.send()
        raise RuntimeError
    with transaction.atomic():
        assert kept.send() == 1
        assert OutboxMessage.objects.count() == 1
    service.mail_to("kept@example.org")
    assert OutboxMessage.objects.count() == 0
    assert all("lost@example.org" not in mail.recipients for mail in service.smtp.accepted)


@pytest.mark.usefixtures("project_settings")
def test_the_outbox_waits_for_a_service_that_is_away(service: Service) -> None:
    from django.core.mail import EmailMessage, get_connection
    from django.core.management import CommandError, call_command
    from django.test import override_settings

    from mail_proxy.contrib.django.models import OutboxMessage

    outbox = get_connection("mail_proxy.contrib.django.OutboxBackend")
    with override_settings(MAIL_PROXY_URL=_GONE):
        outbox.send_messages(
            [
                EmailMessage("S", "B", "s@example.com", ["a5@example.org"]),
                EmailMessage("S", "B", "s@example.com", ["not an address"]),
            ]
        )
    with override_settings(MAIL_PROXY_URL=_GONE, MAIL_PROXY_TOKEN="x"):
        assert OutboxMessage.objects.count() == 2
    with override_settings(MAIL_PROXY_TOKEN="wrong"), pytest.raises(CommandError, match="stay"):
        call_command("send_outbox")
    out = StringIO()
    call_command("send_outbox", stdout=out)
    assert out.getvalue() == "1 messages handed to the proxy\n"
    service.mail_to("a5@example.org")
    (refused,) = OutboxMessage.objects.all()
    assert "not an address" in refused.refused
    refused.delete()
