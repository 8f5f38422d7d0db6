"""EHLO, HELO and AUTH with servers of every kind, without a socket."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import pytest

from mail_proxy.smtp.capabilities import Capabilities
from mail_proxy.smtp.opening import (
    Dialogue,
    NoMechanismError,
    RefusedError,
    log_in,
    say_hello,
)
from mail_proxy.smtp.replies import Reply
from mail_proxy.smtp.reply_reader import ReplyReader

USER, WORD = "joe", "pw"
PLAIN = base64.b64encode(b"\0joe\0pw")
NAME, SECRET = base64.b64encode(b"joe"), base64.b64encode(b"pw")
ASKS_NAME, ASKS_WORD = "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"


def talk(dialogue: Dialogue[Any], replies: Sequence[str | Exception]) -> tuple[Any, list[bytes]]:
    """Give each command its reply; the result, and the commands."""
    answers = iter(replies)
    commands = [next(dialogue)]
    while True:
        answer = next(answers)
        try:
            if isinstance(answer, Exception):
                commands.append(dialogue.throw(answer))
            else:
                (reply,) = ReplyReader().feed(answer.encode("latin-1") + b"\r\n")
                commands.append(dialogue.send(reply))
        except StopIteration as end:
            return end.value, commands


def test_ehlo() -> None:
    lines = ["there", "PIPELINING", "SIZE 1000", "AUTH PLAIN login", "AUTH=CRAM-MD5"]
    lines += ["LIMITS RCPTMAX=100 MAILMAX=20"]
    reply = "\r\n".join(f"250-{line}" for line in lines) + "\r\n250 8BITMIME"
    offered, commands = talk(say_hello("client.example"), [reply])
    assert offered == Capabilities(
        pipelining=True,
        size=1000,
        declares_size=True,
        eight_bit=True,
        most_recipients=100,
        most_transactions=20,
        auth=("PLAIN", "LOGIN", "CRAM-MD5"),
    )
    assert commands == [b"EHLO client.example\r\n"]


@pytest.mark.parametrize("code", [500, 501, 502, 504, 550, 554])
def test_every_refusal_of_ehlo_is_followed_by_helo(code: int) -> None:
    offered, commands = talk(say_hello("c"), [f"{code} no", "250 hello"])
    assert offered == Capabilities()
    assert commands == [b"EHLO c\r\n", b"HELO c\r\n"]


@pytest.mark.parametrize(
    ("replies", "code"),
    [
        (["421 bye"], 421),
        (["451 later"], 451),
        (["550 no", "554 no"], 554),
        (["550 no", ConnectionError("closed")], 550),
    ],
)
def test_a_refused_greeting(replies: list[str | Exception], code: int) -> None:
    with pytest.raises(RefusedError) as caught:
        talk(say_hello("c"), replies)
    assert caught.value.reply.code == code


@pytest.mark.parametrize(
    ("offered", "replies", "commands"),
    [
        (("PLAIN",), ["235 ok"], [b"AUTH PLAIN " + PLAIN]),
        (("PLAIN",), ["334 ", "235 ok"], [b"AUTH PLAIN " + PLAIN, PLAIN]),
        (("PLAIN",), ["501 no", "334 ", "235 ok"], [b"AUTH PLAIN " + PLAIN, b"AUTH PLAIN", PLAIN]),
        (("LOGIN",), [ASKS_NAME, ASKS_WORD, "235 ok"], [b"AUTH LOGIN", NAME, SECRET]),
        (("LOGIN",), ["334 user?", "334 ???", "235 ok"], [b"AUTH LOGIN", NAME, SECRET]),
        (("LOGIN",), ["334 ", "334 ", "235 ok"], [b"AUTH LOGIN", NAME, SECRET]),
        (
            ("LOGIN",),
            ["501 5.5.4 Syntax: AUTH mechanism", ASKS_WORD, "235 ok"],
            [b"AUTH LOGIN", b"AUTH LOGIN " + NAME, SECRET],
        ),
        (
            ("LOGIN",),
            ["535 no", ASKS_NAME, ASKS_WORD, "235 ok"],
            [b"AUTH LOGIN", b"AUTH LOGIN " + NAME, NAME, SECRET],
        ),
        (
            ("LOGIN", "PLAIN"),
            ["504 unknown", ASKS_NAME, ASKS_WORD, "235 ok"],
            [b"AUTH PLAIN " + PLAIN, b"AUTH LOGIN", NAME, SECRET],
        ),
        (
            ("CRAM-MD5", "PLAIN"),
            ["535 no", "235 ok"],
            [b"AUTH CRAM-MD5", b"AUTH PLAIN " + PLAIN],
        ),
    ],
)
def test_log_ins_that_work(
    offered: tuple[str, ...], replies: list[str], commands: list[bytes]
) -> None:
    _, said = talk(log_in(USER, WORD, offered), replies)
    assert said == [command + b"\r\n" for command in commands]


def test_cram_md5_as_rfc_2195_has_it() -> None:
    challenge = base64.b64encode(b"<1896.697170952@postoffice.reston.mci.net>").decode()
    _, said = talk(log_in("tim", "tanstaaftanstaaf", ("CRAM-MD5",)), [f"334 {challenge}", "235 ok"])
    assert base64.b64decode(said[1]) == b"tim b913a602c7eda7a495b4e6e7334d3890"


@pytest.mark.parametrize(
    ("offered", "replies", "code"),
    [
        (("PLAIN",), ["535 wrong"], 535),
        (("PLAIN", "LOGIN"), ["535 wrong", ConnectionError("closed")], 535),
        (("PLAIN", "LOGIN"), ["535 wrong", "501 what", "500 what"], 535),
        (("PLAIN", "LOGIN"), ["421 bye"], 421),
        (("LOGIN",), ["334 a", "334 b", "334 c", "334 d", "334 e", "501 cancelled"], 501),
        (("CRAM-MD5",), ["334 not base64!", "501 cancelled"], 501),
    ],
)
def test_refused_log_ins(
    offered: tuple[str, ...], replies: list[str | Exception], code: int
) -> None:
    with pytest.raises(RefusedError) as caught:
        talk(log_in(USER, WORD, offered), replies)
    assert caught.value.reply.code == code


@pytest.mark.parametrize("offered", [(), ("GSSAPI", "NTLM")])
def test_no_way_to_log_in(offered: tuple[str, ...]) -> None:
    with pytest.raises(NoMechanismError):
        next(log_in(USER, WORD, offered))


def test_words_in_any_charset_are_read() -> None:
    reader = ReplyReader()
    replies = reader.feed(b"535 Error: \xc7\xeb\xca\xb9\r\n554 d\xe9sol\xe9\r\n")
    assert [reply.code for reply in replies] == [535, 554]
    assert all(reply.text.encode() for reply in replies)
    assert replies[0].text.startswith("Error: ")
    assert replies[1] == Reply(554, "d\ufffdsol\ufffd")
    assert reader.fault is None
