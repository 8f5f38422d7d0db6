"""EHLO, HELO and AUTH with servers of every kind, without a socket."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import pytest

from mail_proxy.domain.oauth2 import token_mechanisms
from mail_proxy.smtp.capabilities import Capabilities
from mail_proxy.smtp.opening import (
    Dialogue,
    NoMechanismError,
    RefusedError,
    log_in,
    log_in_with_token,
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


TOKEN_LOGINS = token_mechanisms("joe=a,b@x.example", "t0ken", "mail.x.example", 587)
BEARER = b"n,a=joe=3Da=2Cb@x.example,\1host=mail.x.example\1port=587\1auth=Bearer t0ken\1\1"
XOAUTH2 = b"user=joe=a,b@x.example\1auth=Bearer t0ken\1\1"
EXPLAINED = "334 " + base64.b64encode(b'{"status":"invalid_token"}').decode()


def _command(name: bytes, response: bytes) -> bytes:
    return b"AUTH " + name + b" " + base64.b64encode(response) + b"\r\n"


@pytest.mark.parametrize(
    ("offered", "command"),
    [
        (("PLAIN", "XOAUTH2", "OAUTHBEARER"), _command(b"OAUTHBEARER", BEARER)),
        (("LOGIN", "XOAUTH2"), _command(b"XOAUTH2", XOAUTH2)),
    ],
)
def test_a_token_by_the_mechanism_that_is_offered(offered: tuple[str, ...], command: bytes) -> None:
    _, commands = talk(log_in_with_token(TOKEN_LOGINS, offered), ["235 ok"])
    assert commands == [command]


@pytest.mark.parametrize(("name", "last"), [("OAUTHBEARER", b"AQ==\r\n"), ("XOAUTH2", b"\r\n")])
def test_the_explanation_of_a_refused_token_is_answered_and_told(name: str, last: bytes) -> None:
    dialogue = log_in_with_token(TOKEN_LOGINS, (name,))
    with pytest.raises(RefusedError) as caught:
        talk(dialogue, [EXPLAINED, "535 5.7.8 not accepted"])
    assert caught.value.reply.code == 535
    assert caught.value.reply.text == '5.7.8 not accepted {"status":"invalid_token"}'
    dialogue = log_in_with_token(TOKEN_LOGINS, (name,))
    next(dialogue)
    assert dialogue.send(ReplyReader().feed(EXPLAINED.encode() + b"\r\n")[0]) == last


@pytest.mark.parametrize("name", ["OAUTHBEARER", "XOAUTH2"])
@pytest.mark.parametrize("over", [0, 1])
def test_a_command_of_more_than_512_octets_is_sent_in_two_lines(name: str, over: int) -> None:
    # base64 grows by four octets for three; padding keeps it at the same length.
    frame = len(f"AUTH {name} \r\n")
    length = (512 - frame) // 4 * 3 + 3 * over
    response = b"x" * length
    dialogue = log_in_with_token(((name, response),), (name,))
    encoded = base64.b64encode(response)
    if over:
        assert frame + len(encoded) > 512
        _, commands = talk(dialogue, ["334", "235 ok"])
        assert commands == [f"AUTH {name}\r\n".encode(), encoded + b"\r\n"]
    else:
        assert frame + len(encoded) <= 512
        _, commands = talk(dialogue, ["235 ok"])
        assert commands == [f"AUTH {name} ".encode() + encoded + b"\r\n"]


@pytest.mark.parametrize("code", [501, 504])
def test_a_mechanism_that_is_offered_and_not_known_is_followed_by_the_next(code: int) -> None:
    dialogue = log_in_with_token(TOKEN_LOGINS, ("OAUTHBEARER", "XOAUTH2"))
    _, commands = talk(dialogue, [f"{code} what?", "235 ok"])
    assert commands[1] == _command(b"XOAUTH2", XOAUTH2)


@pytest.mark.parametrize("code", [454, 535])
def test_a_refused_token_is_not_tried_with_the_next_mechanism(code: int) -> None:
    with pytest.raises(RefusedError) as caught:
        talk(log_in_with_token(TOKEN_LOGINS, ("OAUTHBEARER", "XOAUTH2")), [f"{code} no"])
    assert caught.value.reply.code == code


def test_a_server_that_asks_without_end_is_left() -> None:
    dialogue = log_in_with_token(TOKEN_LOGINS, ("XOAUTH2",))
    with pytest.raises(RefusedError):
        talk(dialogue, [*(["334 more"] * 5), "501 cancelled"])


def test_a_server_without_tokens_is_told_by_its_mechanisms() -> None:
    with pytest.raises(NoMechanismError, match="PLAIN LOGIN"):
        talk(log_in_with_token(TOKEN_LOGINS, ("PLAIN", "LOGIN")), [])
