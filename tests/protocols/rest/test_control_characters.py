"""Control characters in what ends in a header, in SMTP, or on somebody's terminal"""

from __future__ import annotations

import pytest
from tests.protocols.rest.client import ONE_DATABASE, Client

MAIL = {"from": "a@example.org", "to": "b@example.net", "subject": "s", "body": "b"}
ESCAPE, C1, DELETE = "\x1b", "\x9b", "\x7f"


@ONE_DATABASE
@pytest.mark.parametrize("character", [ESCAPE, C1, DELETE, "\x01", "\r"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("message_id", "<left{}@right>"),
        ("subject", "Hello {}"),
        ("from", "A {} <a@example.org>"),
        ("from", "a{}@example.org"),
        ("to", ["B {} <b@example.net>"]),
        ("to", ["b{}@example.net"]),
        ("cc", ["B {} <b@example.net>"]),
        ("reply_to", ["B {} <b@example.net>"]),
        ("return_path", "a{}@example.org"),
        ("headers", {"X-Note": "a {}"}),
        ("id", "a{}"),
        ("batch_code", "a{}"),
        ("account_id", "a{}"),
    ],
)
async def test_a_message_with_one_is_refused_by_the_fields_name(
    idle: Client, field: str, value: object, character: str
) -> None:
    def put(value: object) -> object:
        if isinstance(value, dict):
            return {name: put(each) for name, each in value.items()}
        return [put(v) for v in value] if isinstance(value, list) else str(value).format(character)

    message = {"id": "m", **MAIL, field: put(value)}
    response = await idle("POST", "/commands/add-messages", {"messages": [message]})
    assert response.status_code == 400
    [rejected] = response.json()["detail"]["rejected"]
    assert rejected["reason"].startswith(field)
    assert f"U+{ord(character):04X}" in rejected["reason"]


@ONE_DATABASE
async def test_a_tab_and_letters_of_every_language_stay(idle: Client) -> None:
    subject = "Grüße\tund 日本語\u200c \u202bund\u202c"
    message = {"id": "m", **MAIL, "subject": subject}
    await idle.ok("POST", "/commands/add-messages", {"messages": [message]})
    assert (await idle.message("m"))["subject"] == subject
