"""Messages with files, which are read while they are sent"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.protocols.smtp.sessions import ANN, FROM, Logins, session, verbs

from mail_proxy.domain.outcome import Deferred, Sent
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.streamed import PIECE_OCTETS, Base64Part, Rest, VerbatimPart
from mail_proxy.testing.smtp_server import ScriptedSmtpServer

EACH_WAY = pytest.mark.parametrize("chunking", [False, True])
HEAD = b"Subject: x\r\n\r\n"


@dataclass
class Octets:
    """A content that comes in pieces of a length of its own, and may be cut off or broken."""

    data: bytes
    cut: int | None = None
    left_out: int = 0
    is_broken: bool = False

    @property
    def size(self) -> int:
        return len(self.data)

    def pieces(self, octets: int) -> Iterator[bytes]:
        step = self.cut or octets
        data = self.data[: len(self.data) - self.left_out]
        for start in range(0, len(data), step):
            yield data[start : start + step]
        if self.is_broken:
            raise OSError(5, "Input/output error")


@EACH_WAY
@pytest.mark.parametrize("cut", [1, 2, 3, 5, 7, 1000])
async def test_lines_with_dots_arrive_however_the_file_is_cut(
    login: Logins, chunking: bool, cut: int
) -> None:
    content = Octets(b".one\n..two\r\n.\rthree\r\n\r\n.\r\n" * 3, cut)
    part = VerbatimPart.of(content)
    assert part is not None
    tail = b"\r\n.tail\r\n"
    mail = ComposedMail(HEAD, False, False, Rest((part, tail)))
    async with ScriptedSmtpServer(chunking=chunking) as server:
        async with session(login(server.port)) as connection:
            assert isinstance(await connection.transact(FROM, [ANN], mail), Sent)
        (arrived,) = server.accepted
    expected = content.data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    assert arrived.data == HEAD + expected + tail
    assert mail.size == len(arrived.data)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 57, 58, PIECE_OCTETS, PIECE_OCTETS + 1])
def test_base64_has_lines_of_76_characters_and_its_size(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    part = Base64Part(Octets(data[:size]))
    written = b"".join(part.pieces())
    assert len(written) == part.size
    assert written == base64.encodebytes(data[:size]).replace(b"\n", b"\r\n")


@EACH_WAY
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (Octets(b"x" * 300_000, left_out=1), "an attachment has changed its size"),
        (Octets(b"x" * 300_000, left_out=PIECE_OCTETS), "an attachment has changed its size"),
        (
            Octets(b"x" * 2 * PIECE_OCTETS, left_out=PIECE_OCTETS, is_broken=True),
            "Input/output error",
        ),
    ],
)
async def test_a_file_that_cannot_be_read_leaves_the_message_without_an_end(
    login: Logins, chunking: bool, content: Octets, words: str
) -> None:
    mail = ComposedMail(HEAD, False, False, Rest((Base64Part(content), b"\r\n")))
    async with ScriptedSmtpServer(chunking=chunking) as server:
        async with session(login(server.port)) as connection:
            outcome = await connection.transact(FROM, [ANN], mail)
            assert isinstance(outcome, Deferred)
            assert words in outcome.reason
            assert not connection.is_open
        assert not server.accepted
    assert verbs(server)[-1] == ("BDAT" if chunking else "DATA")


@pytest.mark.parametrize("octets", [b"x" * 1000, b"a\0b", b"y\r\n" + b"x" * 998])
def test_what_smtp_cannot_carry_is_not_sent_verbatim(octets: bytes) -> None:
    assert VerbatimPart.of(Octets(octets, cut=300)) is None


def test_octets_above_127_are_seen() -> None:
    part = VerbatimPart.of(Octets("Grüße\n".encode()))
    assert part is not None
    assert part.is_8bit
