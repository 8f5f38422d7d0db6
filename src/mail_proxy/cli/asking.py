"""Questions to the user, for commands that were given no options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer


def is_bare(context: typer.Context) -> bool:
    """Return whether the command line gave the command no option except ``--json``."""
    given = (
        name
        for name in context.params
        if name != "json"
        and (source := context.get_parameter_source(name)) is not None
        and source.name != "DEFAULT"
    )
    return next(given, None) is None


def ask(question: str, default: str | None = None, choices: Sequence[str] = ()) -> str:
    """Ask on stderr until the answer is one of ``choices``, or not empty without them."""
    shown = f"{question} ({', '.join(choices)})" if choices else question
    while True:
        answer = str(typer.prompt(shown, default=default, err=True, show_default=bool(default)))
        if not choices or answer in choices:
            return answer.strip()


def ask_number(question: str, default: int) -> int:
    """Ask on stderr for a whole number."""
    return int(typer.prompt(question, default=default, err=True, type=int))


def ask_secret(question: str) -> str:
    """Ask on stderr; the answer does not appear on the terminal."""
    answer: Any = typer.prompt(question, hide_input=True, default="", show_default=False, err=True)
    return str(answer)
