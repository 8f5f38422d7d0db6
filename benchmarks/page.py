"""Writes the figures of benchmark runs into the page on performance.

    python -m benchmarks.page RUN.json [MORE.json ...]

Replaces the text between `<!-- figures: NAME -->` and `<!-- end of figures -->`. If several
files have the same measurement of the same database, the last file counts.
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.harness.sinks import REPOSITORY

from benchmarks.peers.compare import PEERS
from benchmarks.report import number

_PAGE = REPOSITORY / "docs" / "explanation" / "performance.md"
_PLACE = re.compile(r"(<!-- figures: (\S+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
_PEERS = [peer.name for peer in PEERS]
_MACHINE = ("date", "processor", "memory", "system", "file system", "Python", "SQLite", "Postfix")
_BOTH_DATABASES = ("end-to-end", "drain")
_QUIET_LOAD = 1.5  # of a machine with two cores
_BUSY = """
**The machine was busy with other work during at least one of these runs.** Rates are too low then,
and ratios favour programs with many processes, because each process gets its share of a busy
processor. Processor time per message holds.
"""

Result = dict[str, Any]
Row = list[str]


class Runs:
    """The results of several files, the last one of each measurement and database."""

    def __init__(self, files: list[Path]) -> None:
        self.contents = [json.loads(file.read_text()) for file in files]
        self.results: dict[tuple[str, str], Result] = {
            (result["scenario"], content["options"]["database"]): result
            for content in self.contents
            for result in content["results"]
        }


def machine(runs: Runs) -> str:
    """Return the table of the last run's machine and versions."""
    described = runs.contents[-1]["machine"]
    names = [*_MACHINE, "genro-mail-proxy"]
    loads = [float(content["machine"]["load at the start"]) for content in runs.contents]
    table = _table(["", ""], [[name, described[name]] for name in names])
    return table + (_BUSY if max(loads) > _QUIET_LOAD else "")


def proxy(runs: Runs) -> str:
    """Return the table of all measurements except those of peers."""
    rows: list[Row] = []
    for (scenario, database), result in runs.results.items():
        if scenario in (*_PEERS, "reference"):
            continue
        where = "PostgreSQL" if database == "postgresql" else "SQLite"
        label = f"`{scenario}`, {where}" if scenario in _BOTH_DATABASES else f"`{scenario}`"
        if result["state"] != "measured":
            rows.append([label, _reason(result), "", "", ""])
        for place, figure in enumerate(result["figures"]):
            value = f"{number(figure['value'])} {figure['unit']}".strip()
            described = [figure["name"], value, figure["bound"] or "", _verdict(figure).strip()]
            rows.append([label if place == 0 else "", *described])
    return _table(["measurement", "figure", "value", "target", ""], rows)


def peers(runs: Runs) -> str:
    """Return the table of the peers, each beside the proxy in the same run."""
    rows: list[Row] = []
    for (name, _), result in runs.results.items():
        if name not in _PEERS:
            continue
        if result["state"] != "measured":
            rows.append([name, "", "", "", _reason(result)])
            continue
        figures = {figure["name"]: figure for figure in result["figures"]}
        ratio = figures[f"the proxy to {name}"]
        values = [number(figures[key]["value"]) for key in (name, "CPU per message")]
        compared = number(ratio["value"]) + _verdict(ratio)
        rows.append([name, *values, compared, figures[name]["note"]])
    header = ["peer", "messages/s", "CPU, us per message", "proxy : peer", "what it is"]
    return _table(header, rows)


def _reason(result: Result) -> str:
    return f"{result['state']}: {result['reason'].splitlines()[0]}"


def _verdict(figure: dict[str, Any]) -> str:
    return {None: "", True: " ok", False: " **missed**"}[figure["ok"]]


def _table(header: Row, rows: list[Row]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


_TABLES: dict[str, Callable[[Runs], str]] = {"machine": machine, "proxy": proxy, "peers": peers}


def main() -> None:
    """Write the tables into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="RUN.json")
    runs = Runs(parser.parse_args().files)
    filled = _PLACE.sub(
        lambda place: f"{place[1]}{_TABLES[place[2]](runs)}{place[3]}", _PAGE.read_text()
    )
    _PAGE.write_text(filled)


if __name__ == "__main__":
    main()
