"""What a stranger's text may do to a terminal: nothing"""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from rich.text import Text

import mail_proxy.cli
from mail_proxy.cli import output

#: CSI (C1), ESC, a line without its start, right-to-left override, isolate, bell, delete.
HOSTILE = "\x9b2J\x1b[31m\rfaked\u202egnp\u2066\x07\x7f\ud800"
CLI = Path(mail_proxy.cli.__path__[0])


def is_clean(text: str) -> bool:
    return all(c.isprintable() or c == "\n" for c in text)


def test_ordinary_text_is_shown_as_it_is() -> None:
    text = "Grüße an Ann <ann@例え.jp>,\n\tzwei\u00a0Zeilen"
    assert output.printable(text) == text


def test_control_characters_are_escaped_as_in_json() -> None:
    shown = output.printable(HOSTILE)
    assert is_clean(shown)
    assert shown.startswith(r"\u009b2J\u001b[31m\rfaked\u202egnp")


@pytest.mark.parametrize("show", ["talk", "complain", "line", "json", "table", "facts"])
def test_no_way_of_printing_lets_them_through(
    capsys: pytest.CaptureFixture[str], show: str
) -> None:
    ways = {
        "talk": lambda: output.talk(HOSTILE.replace("[", "")),
        "complain": lambda: output.complain(HOSTILE),
        "line": lambda: output.print_line(HOSTILE),
        "json": lambda: output.print_json({"subject": HOSTILE}),
        "table": lambda: output.print_table(["a"], [[HOSTILE], [Text("plain")]]),
        "facts": lambda: output.print_facts([("subject", HOSTILE)]),
    }
    ways[show]()
    printed = capsys.readouterr()
    assert is_clean(printed.out + printed.err)
    assert "faked" in printed.out + printed.err
    if show == "json":
        assert json.loads(printed.out) == {"subject": HOSTILE}


def test_commands_print_in_no_other_way() -> None:
    for file in CLI.rglob("*.py"):
        # The overview is a text of ours.
        if file.name not in ("output.py", "overview.py"):
            calls = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Call)]
            names = {ast.unparse(call.func) for call in calls}
            assert not names & {"print", "typer.echo", "click.echo", "sys.stdout.write"}, file
