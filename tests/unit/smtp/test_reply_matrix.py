"""Every stage of a transaction x everything that a server may do there x every way to send.

What each cell means is the table ``MEANING``; the refusals with codes of their own are in
``REFUSALS``. No socket is open: ``tests/protocols/smtp/test_reply_matrix.py`` has a sample of it
over real ones, and the stages up to the log-in.
"""

from __future__ import annotations

import itertools

import pytest
from tests.unit.smtp.memory_server import Line, Mails, MemoryServer, envelope

from mail_proxy.domain.outcome import AccountTrouble, Deferred, Failed, Outcome, Sent, Uncertain
from mail_proxy.smtp.capabilities import Capabilities
from mail_proxy.testing.smtp_server import Act, Script

ANN, BOB = "ann@example.org", "bob@example.org"
WAYS = {
    "pipelining": Capabilities(pipelining=True),
    "one by one": Capabilities(),
    "BDAT": Capabilities(pipelining=True, chunking=True),
}
BEHAVIOURS: dict[str, Script] = {
    "4xx": "451 4.3.0 not now",
    "5xx": "554 5.0.0 not at all",
    "421": ("421 4.3.2 closing", Act.DROP),
    "drop": Act.DROP,
    "silence": Act.SILENCE,
    "garbage": b"What do you want?\r\n",
    "3xx": "354 that is no answer to this",
}
#: In the order of BEHAVIOURS; trouble is the account's, with its stage.
MEANING = {
    "MAIL": "deferred failed greeting deferred deferred deferred deferred",
    "RCPT": "deferred failed deferred deferred deferred deferred deferred",
    "DATA": "deferred failed deferred deferred deferred deferred deferred",
    "end of data": "deferred failed deferred uncertain uncertain uncertain uncertain",
}
#: The message is out before MAIL is answered.
MEANING_OF_BDAT = {
    "MAIL": "deferred failed greeting uncertain uncertain uncertain uncertain",
    "RCPT": "deferred failed deferred uncertain uncertain uncertain uncertain",
    "end of data": MEANING["end of data"],
}
CELLS = [
    pytest.param(way, stage, behaviour, meaning, id=f"{stage}-{behaviour}-{way}")
    for way in WAYS
    for stage, meanings in (MEANING_OF_BDAT if way == "BDAT" else MEANING).items()
    for behaviour, meaning in zip(BEHAVIOURS, meanings.split(), strict=True)
]


def outcome_of(way: str, scripts: dict[str, Script], *to: str) -> tuple[Outcome, Line]:
    server = MemoryServer(lambda stage, text: scripts.get(text, scripts.get(stage)))
    line = Line(server, capabilities=WAYS[way])
    burst = Mails([envelope("a", *to)])
    assert line.run(burst).returned == []
    (outcome,) = burst.outcomes.values()
    assert isinstance(outcome, Outcome)
    return outcome, line


def meaning(outcome: Outcome) -> str:
    if isinstance(outcome, AccountTrouble):
        return outcome.stage
    return type(outcome).__name__.lower()


@pytest.mark.parametrize(("way", "stage", "behaviour", "expected"), CELLS)
def test_every_behaviour_at_every_stage_means_what_the_table_says(
    way: str, stage: str, behaviour: str, expected: str
) -> None:
    script = BEHAVIOURS[behaviour]
    if (stage, behaviour) == ("DATA", "3xx"):
        script = "250 that is no answer to this"
    outcome, line = outcome_of(way, {stage: script})
    assert meaning(outcome) == expected
    if isinstance(script, str) and behaviour in ("4xx", "5xx"):
        assert script in str(outcome)
        after = Mails([envelope("b", BOB)])
        line.server.script = lambda stage, text: None
        line.run(after)
        assert isinstance(after.outcomes["b"], Sent), "the session is as new"


#: Stage, reply, what it means.
REFUSALS = [
    ("MAIL", "530 5.7.0 log in first", "auth"),
    ("MAIL", "454 4.7.0 the directory is away", "greeting"),
    ("MAIL", "452 4.3.1 disk is full", "deferred"),
    ("MAIL", "452 4.5.3 too many messages", "deferred"),
    ("MAIL", "552 5.3.4 too large", "failed"),
    ("MAIL", "553 5.7.1 not your address", "failed"),
    ("MAIL", "555 5.5.4 unknown parameter", "failed"),
    ("RCPT", "550 5.7.1 relaying denied", "failed"),
    ("RCPT", "550 5.1.1 no such user", "failed"),
    ("RCPT", "556 5.1.10 the domain takes no mail", "failed"),
    ("RCPT", "551 5.1.6 user has moved", "failed"),
    ("RCPT", "552 5.2.2 mailbox full", "failed"),
    ("RCPT", "552 too many recipients", "deferred"),
    ("RCPT", "452 4.5.3 too many recipients", "deferred"),
    ("RCPT", "450 4.2.0 greylisted", "deferred"),
    ("RCPT", "530 5.7.0 log in first", "auth"),
    ("DATA", "554 5.5.1 no valid recipients", "failed"),
    ("DATA", "452 4.3.1 disk is full", "deferred"),
    ("end of data", "552 5.3.4 too large", "failed"),
    ("end of data", "550 5.7.1 looks like spam", "failed"),
    ("end of data", "452 4.3.1 disk is full", "deferred"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("stage", "reply", "expected"), REFUSALS)
def test_well_known_refusals(way: str, stage: str, reply: str, expected: str) -> None:
    if way == "BDAT" and stage == "DATA":
        return
    outcome, line = outcome_of(way, {stage: reply})
    assert meaning(outcome) == expected
    assert isinstance(outcome, Deferred | Failed | AccountTrouble)
    assert outcome.code == int(reply[:3])
    assert reply[4:] in outcome.reason
    assert (ANN in outcome.reason) == (stage == "RCPT" and "log in" not in reply)
    assert line.server.accepted == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("end", ["250", "451", "554"])
@pytest.mark.parametrize("replies", list(itertools.product(("250", "450", "550"), repeat=2)))
def test_mixed_recipients(way: str, end: str, replies: tuple[str, str]) -> None:
    """Each has its own fate if the message was taken; a refused message is nobody's."""
    scripts: dict[str, Script] = {
        address: f"{reply} as scripted" for address, reply in zip((ANN, BOB), replies, strict=True)
    }
    if "250" in replies:
        scripts["end of data"] = f"{end} as scripted"
    outcome, line = outcome_of(way, scripts, ANN, BOB)
    is_taken = "250" in replies and end == "250"
    fates = {"250": "sent", "450": "deferred", "451": "deferred", "550": "failed", "554": "failed"}
    if "250" not in replies or is_taken:
        expected = [fates[reply] for reply in replies]
    else:
        # The answer to the message holds for all but those who had been refused for good.
        expected = ["failed" if reply == "550" else fates[end] for reply in replies]
    assert not isinstance(outcome, Uncertain | AccountTrouble)
    assert [(r.address, str(r.status)) for r in outcome.recipients] == list(
        zip((ANN, BOB), expected, strict=True)
    )
    hope = "deferred" if "deferred" in expected else "failed"
    assert meaning(outcome) == ("sent" if is_taken else hope)
    takers = tuple(a for a, r in zip((ANN, BOB), replies, strict=True) if r == "250")
    assert line.server.accepted == ([("a", takers)] if is_taken else [])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("flood", [b"250 " + b"x" * 20_000, b"250-more\r\n" * 10_000])
@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_an_endless_reply_ends_the_session(way: str, flood: bytes, end: bytes) -> None:
    outcome, line = outcome_of(way, {"MAIL": flood + end})
    assert "endless" in str(outcome)
    assert line.session.broken is not None
