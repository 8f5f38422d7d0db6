"""Whatever a server says, in whatever pieces: the same outcomes, no mail lost, none twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.smtp.memory_server import Line, Mails, MemoryServer, envelope

from mail_proxy.domain.outcome import AccountTrouble, Deferred, Failed, RecipientStatus, Sent
from mail_proxy.smtp.capabilities import Capabilities
from mail_proxy.smtp.envelope import Envelope
from mail_proxy.testing.smtp_server import Act, Script

_REPLIES: list[Script | None] = [
    *[None] * 6,
    "250 2.0.0 ok",
    "354 go",
    "421 4.3.2 bye",
    ("421 4.3.2 bye", Act.DROP),
    ("250 ok", Act.DROP),
    "450 4.2.1 busy",
    "451 4.3.0 later",
    "452 4.5.3 too many recipients",
    "503 5.5.1 sequence",
    "530 5.7.0 log in",
    "550-5.1.1 no\r\n550 5.1.1 user",
    "552 too many recipients",
    "554 5.7.1 spam",
    Act.DROP,
    Act.SILENCE,
    b"what?\r\n",
    b"25",
]
scripts = st.lists(st.sampled_from(_REPLIES), max_size=30)
offers = st.builds(
    Capabilities,
    pipelining=st.booleans(),
    chunking=st.booleans(),
    burst=st.booleans(),
    most_recipients=st.sampled_from([None, 1, 2]),
    most_transactions=st.sampled_from([None, 1, 3]),
)
cuts = st.lists(st.integers(1, 40), min_size=1, max_size=20)


def server(script: Sequence[Script | None]) -> MemoryServer:
    answers = iter(script)
    return MemoryServer(lambda stage, text: next(answers, None))


def mails() -> list[Envelope]:
    to = [f"r{number}@example.org" for number in range(3)]
    return [envelope("a", *to), envelope("b"), envelope("c", *to[:2]), envelope("d")]


@given(scripts, offers, cuts)
@settings(max_examples=400, deadline=None)
def test_the_pieces_in_which_replies_arrive_make_no_difference(
    script: list[Script | None], offered: Capabilities, sizes: list[int]
) -> None:
    def cut(data: bytes) -> list[bytes]:
        pieces, at, turn = [], 0, 0
        while at < len(data):
            size = sizes[turn % len(sizes)]
            pieces.append(data[at : at + size])
            at, turn = at + size, turn + 1
        return pieces

    whole, pieces = Mails(mails()), Mails(mails())
    Line(server(script), capabilities=offered).run(whole)
    Line(server(script), capabilities=offered, cut=cut).run(pieces)
    assert pieces.outcomes == whole.outcomes


@given(st.lists(scripts, min_size=1, max_size=4), offers)
@settings(max_examples=800, deadline=None)
def test_no_mail_counts_as_sent_without_its_250_or_goes_out_twice(
    sessions: list[list[Script | None]], offered: Capabilities
) -> None:
    burst = Mails(mails())
    taken: Counter[tuple[str, str]] = Counter()
    returned: list[Envelope] = []
    for script in sessions:
        line = Line(server(script), capabilities=offered)
        returned = line.run(burst, returned).returned
        for name, recipients in line.server.accepted:
            taken.update((name, address) for address in recipients)
    assert not [mail for mail, copies in taken.items() if copies > 1]
    for name, outcome in burst.outcomes.items():
        if isinstance(outcome, Sent):
            for result in outcome.recipients:
                if result.status is RecipientStatus.SENT:
                    assert taken[name, result.address] == 1
        if isinstance(outcome, Deferred | Failed | AccountTrouble):
            # What will be sent again, or is called lost, has reached nobody.
            assert not [address for mail, address in taken if mail == name]
