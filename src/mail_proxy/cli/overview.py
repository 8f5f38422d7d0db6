"""The overview of all commands, which ``mail-proxy --help`` prints.

It is plain text, so that help comes without loading typer and rich.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from textwrap import fill

from mail_proxy.cli.commands import COMMANDS, Scope

_HELP = ("-h", "--help")
_USAGE = """\
Usage: mail-proxy COMMAND ...
       mail-proxy NAME COMMAND ...
       mail-proxy NAME TENANT COMMAND ...

A durable mail queue between applications and SMTP servers.
"""
_END = """\
NAME is an instance: a folder in ~/.mail-proxy (GMP_HOME overrides the parent
folder). It may stand in front of a command or behind it, and may be left out
if there is a single instance. TENANT may be left out if there is a single
tenant; NAME/TENANT is understood too.

`mail-proxy COMMAND --help` shows the options of a command. Exit codes: 0 done,
1 failed, 2 wrong usage; `status` has more.

Options:
  --version             Show the version and exit.
  --install-completion  Install completion for the current shell.
  --show-completion     Show the completion script of the current shell.
  -h, --help            Show this overview and exit.
"""
_TITLES = {
    "Instances": (Scope.NOTHING, Scope.NAME),
    "One instance": (Scope.INSTANCE,),
    "One tenant": (Scope.TENANT,),
}


def wants_overview(words: Sequence[str]) -> bool:
    """Return whether a command line asks for the overview: nothing, or ``--help``."""
    return not words or words[0] in _HELP


def overview(bold: bool) -> str:
    """Return usage, commands with one line each, and options."""
    parts = [_USAGE]
    names = {word: f"{word} {entry.words}".strip() for word, entry in COMMANDS.items()}
    width = max(len(word) for word in COMMANDS)
    for title, scopes in _TITLES.items():
        shown = f"\x1b[1m{title}\x1b[0m" if bold else title
        lines = [f"{shown}:"]
        for word, entry in COMMANDS.items():
            if entry.scope in scopes:
                lines.append(f"  {word:<{width}}  {entry.help}")
                if entry.plain is not None:
                    indent = " " * (width + 4)
                    lines.append(
                        fill(names[word], 80, initial_indent=indent, subsequent_indent=indent)
                    )
        parts.append("\n".join(lines) + "\n")
    return "\n".join([*parts, _END])


def print_overview() -> None:
    """Print the overview to stdout."""
    sys.stdout.write(overview(bold=sys.stdout.isatty()))
