"""Flask: the extension in the manner of Flask-Mail, and the blueprint that takes reports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from tests.contrib.conftest import SECRET, TOKEN, Service
from tests.harness.patience import PATIENCE_SECONDS

from mail_proxy.client import Report
from mail_proxy.contrib.flask import Mail, Message, NotQueued, reports_blueprint


@pytest.fixture
def shop(service: Service) -> Iterator[tuple[Flask, Mail]]:
    app = Flask("shop")
    app.config.update(
        MAIL_PROXY_URL=service.url,
        MAIL_PROXY_TOKEN=TOKEN,
        MAIL_PROXY_SIGNING_SECRET=SECRET,
        MAIL_DEFAULT_SENDER="Shop <shop@example.com>",
    )
    mail = Mail(app)
    yield app, mail
    with app.app_context():
        mail.client.close()


def test_a_message_arrives_with_its_parts(shop: tuple[Flask, Mail], service: Service) -> None:
    app, mail = shop
    message = Message(
        "Hello",
        ["f1@example.org"],
        body="Plain\n",
        html='<img src="cid:logo">',
        extra_headers={"X-Shop": "1"},
        options={"priority": "high"},
    )
    message.attach("a.txt", None, b"content")
    message.attach("logo.png", "image/png", b"PNG", content_id="logo", disposition="inline")
    with app.app_context():
        mail.send(message)
        mail.send(message)  # the same id: one message
        assert mail.client.messages.get(message.id).priority == 1
    _, parsed = service.mail_to("f1@example.org")
    assert (parsed["From"], parsed["X-Shop"]) == ("Shop <shop@example.com>", "1")
    assert {p.get_filename() for p in parsed.walk()} >= {"a.txt", "logo.png"}
    assert not any("f1@example.org" in m.recipients for m in service.smtp.accepted)


def test_a_wrong_message_names_its_mistake(shop: tuple[Flask, Mail]) -> None:
    app, mail = shop
    with app.app_context(), pytest.raises(NotQueued, match="nobody at all"):
        mail.send_message("S", ["nobody at all"], body="B")


def test_the_blueprint_takes_reports(
    shop: tuple[Flask, Mail],
    wsgi_server: Callable[[Any], str],
    reported_to: Callable[[str], None],
) -> None:
    app, mail = shop
    found: list[Report] = []
    arrived = threading.Event()

    def take(report: Report) -> None:
        if report.id == message.id:
            found.append(report)
            arrived.set()

    app.register_blueprint(reports_blueprint(take))
    message = Message("Hello", ["f2@example.org"], body="B")
    reported_to(wsgi_server(app))
    with app.app_context():
        mail.send(message)
    assert arrived.wait(PATIENCE_SECONDS)
    assert found[0].event == "sent"
    assert app.test_client().post("/mail-proxy/sync", data=b"{}").status_code == 401
