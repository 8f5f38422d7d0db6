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


def test_first_lines_of_docstrings_are_short_and_name_their_subject() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {fault}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line, lines in docstrings(path)
        for fault in faults(lines)
    ]
    assert found == []
