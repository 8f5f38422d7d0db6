"""One table for people, one JSON file for comparisons."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.figures import Figure

_NOTE_WIDTH = 150  # the JSON file has the whole of it
State = Literal["measured", "skipped", "failed"]


@dataclass(frozen=True)
class Result:
    scenario: str
    state: State
    figures: list[Figure] = field(default_factory=list)
    reason: str = ""
    seconds: float = 0

    @property
    def broken(self) -> bool:
        """A failed run or a broken promise about mail; a missed speed is not an error."""
        return self.state == "failed" or any(
            figure.ok is False and figure.bound is not None and figure.bound.exact
            for figure in self.figures
        )


@dataclass(frozen=True)
class Report:
    machine: dict[str, str]
    options: dict[str, Any]
    commands: dict[str, str]
    results: list[Result]

    def print(self, console: Console) -> None:
        for name, value in self.machine.items():
            console.print(f"{name}: {escape(value)}", highlight=False)
        console.print(_table(self.results))
        console.print("Commands:")
        for label, command in self.commands.items():
            line = f"  {label}: {command}"
            console.print(escape(line), highlight=False, soft_wrap=True)

    def write(self, path: Path) -> None:
        results = [
            {
                "scenario": result.scenario,
                "state": result.state,
                "reason": result.reason,
                "seconds": round(result.seconds, 1),
                "figures": [figure.as_dict() for figure in result.figures],
            }
            for result in self.results
        ]
        content = {
            "machine": self.machine,
            "options": self.options,
            "commands": self.commands,
            "results": results,
        }
        path.write_text(json.dumps(content, indent=2, default=str) + "\n")


def _table(results: list[Result]) -> Table:
    table = Table("scenario", "figure", "value", "unit", "bound", "", "runs and notes")
    table.columns[2].justify = "right"
    for result in results:
        if result.state != "measured":
            row = [result.scenario, result.state, "", "", "", "", escape(result.reason)]
            table.add_row(*row, end_section=True)
        for number, figure in enumerate(result.figures):
            last = number == len(result.figures) - 1
            table.add_row(*_row(result.scenario if number == 0 else "", figure), end_section=last)
    return table


def _row(scenario: str, figure: Figure) -> list[str]:
    runs = " ".join(number(run) for run in figure.runs) if len(figure.runs) > 1 else ""
    mark = {None: "", True: "[green]ok[/]", False: "[bold red]MISSED[/]"}[figure.ok]
    return [
        scenario,
        figure.name,
        number(figure.value),
        figure.unit,
        "" if figure.bound is None else str(figure.bound),
        mark,
        escape(shorten("; ".join(part for part in (runs, figure.note) if part), _NOTE_WIDTH)),
    ]


def number(value: float) -> str:
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
