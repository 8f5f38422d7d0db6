"""First lines of docstrings, which a search shows without the rest"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import mail_proxy

SOURCE = Path(mail_proxy.__path__[0])
MOST_CHARACTERS = 80
#: A line that begins so has no subject: "What a scrape tells" could be about anything.
VAGUE = frozenset({"How", "What", "Where", "Whether", "Who", "Whoever"})
#: Files with first lines from before this rule. The list only gets shorter.
OLDER = frozenset(
    {
        "operations/intake.py",
        "operations/quotas.py",
        "operations/read_shares.py",
        "sql/messages/events.py",
        "sql/messages/listing.py",
        "sql/messages/mail_codec.py",
        "wire/messages.py",
    }
)


def docstrings(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line of each definition and the lines of its docstring."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text.splitlines()


def faults(lines: list[str]) -> Iterator[str]:
    first = lines[0]
    if len(first) > MOST_CHARACTERS:
        yield f"{len(first)} characters"
    if first.partition(" ")[0] in VAGUE:
        yield "begins without its subject"
    if len(lines) > 1 and lines[1]:
        yield "no empty line below"


def found_in(name: str) -> list[str]:
    return [
        f"{name}:{line}: {fault}"
        for line, lines in docstrings(SOURCE / name)
        for fault in faults(lines)
    ]


def names() -> set[str]:
    return {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py")}


def test_first_lines_of_docstrings_are_short_and_name_their_subject() -> None:
    assert [fault for name in sorted(names() - OLDER) for fault in found_in(name)] == []
