"""Long CSV files in pieces."""

from __future__ import annotations

from pathlib import Path

import pytest

from mail_proxy.cli import csv_pieces
from mail_proxy.cli.csv_pieces import pieces_of
from mail_proxy.errors import MailProxyError


@pytest.mark.parametrize("titles", [[], ["address,detail"]])
def test_each_line_is_in_one_piece_under_its_number(
    titles: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_pieces, "_MOST_LINES", 4)
    lines = titles + [f"a{number}@example.net" for number in range(10)]
    file = tmp_path / "list.csv"
    file.write_text("\n".join(lines) + "\n")
    found = {}
    for piece in pieces_of(file):
        for number, line in enumerate(piece.octets.decode().splitlines(), 1):
            if "@" in line:
                assert (number + piece.lines_before) not in found
                found[number + piece.lines_before] = line
            else:
                assert [line] == titles
    assert found == {n: line for n, line in enumerate(lines, 1) if "@" in line}


def test_a_missing_file_and_a_line_without_end_are_named(tmp_path: Path) -> None:
    with pytest.raises(MailProxyError, match="cannot be read"):
        list(pieces_of(tmp_path / "missing"))
    (tmp_path / "long").write_bytes(b"x" * 200_000)
    with pytest.raises(MailProxyError, match="line 1 is too long"):
        list(pieces_of(tmp_path / "long"))
