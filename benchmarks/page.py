"""Writes the figures of benchmark runs into the documentation.

    python -m benchmarks.page RUN.json [MORE.json ...]

Only what stands between `<!-- figures: NAME -->` and `<!-- end of figures -->` is replaced.
Of a measurement that is in several files, the last one counts, for each database.
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.harness.sinks import REPOSITORY

from benchmarks.report import number

_PAGES = [
    REPOSITORY / "docs" / "explanation" / f"{name}.md" for name in ("performance", "capacity")
]
_PLACE = re.compile(r"(<!-- figures: (\S+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
_PEERS = ("postfix", "postfix-tuned", "haraka", "bullmq", "celery")
_COSTS = ("stages", "growth", "writes")
_LONG = ("retention", "upkeep")
_SECONDS_PER_HOUR = 3600
_MILLIONS_PER_HOUR = (1, 10, 100)

#: The load of a machine of two cores that does little else.
_QUIET_LOAD = 1.5
_BUSY = """
**The machine was busy with other work during at least one of these runs** (see its load). Rates
are too low then, and ratios lean towards what runs in many processes, because each process gets
its share of a busy processor. Processor time per message, rows and bytes hold.
"""

Row = list[str]
Figures = dict[str, dict[str, Any]]


class Runs:
    """All results of some files."""

    def __init__(self, files: list[Path]) -> None:
        self.contents = [json.loads(file.read_text()) for file in files]
        self.results: dict[tuple[str, str], dict[str, Any]] = {}
        for content in self.contents:
            for result in content["results"]:
                key = (result["scenario"], content["options"]["database"])
                self.results[key] = result

    def figures(self, scenario: str, database: str | None = None) -> Figures:
        for (name, kind), result in self.results.items():
            if name == scenario and database in (None, kind):
                return {figure["name"]: figure for figure in result["figures"]}
        return {}


def machine(runs: Runs) -> str:
    described: dict[str, list[str]] = {}
    for content in runs.contents:
        for name, value in content["machine"].items():
            if value not in described.setdefault(name, []):
                described[name].append(value)
    table = _table(["", ""], [[name, _joined(name, values)] for name, values in described.items()])
    busy = any(float(load) > _QUIET_LOAD for load in described["load at the start"])
    return table + (_BUSY if busy else "")


def proxy(runs: Runs) -> str:
    rows = []
    for (scenario, database), result in runs.results.items():
        if scenario in (*_PEERS, *_COSTS, *_LONG, "reference"):
            continue
        where = "PostgreSQL" if database == "postgresql" else "SQLite"
        label = f"`{scenario}`, {where}" if scenario in ("end-to-end", "drain") else f"`{scenario}`"
        if result["state"] != "measured":
            rows.append(
                [label, f"{result['state']}: {result['reason'].splitlines()[0]}", "", "", ""]
            )
        for place, figure in enumerate(result["figures"]):
            rows.append([label if place == 0 else "", *_described(figure)])
    return _table(["measurement", "figure", "value", "target", ""], rows)


def peers(runs: Runs) -> str:
    rows = []
    for name in _PEERS:
        result = next((r for (scenario, _), r in runs.results.items() if scenario == name), None)
        if result is None or result["state"] != "measured":
            reason = "not measured" if result is None else f"{result['state']}: {result['reason']}"
            rows.append([name, "", "", "", "", reason.splitlines()[0]])
            continue
        figures = {figure["name"]: figure for figure in result["figures"]}
        ratio = figures[f"the proxy to {name}"]
        rows.append(
            [
                name,
                _value(figures[name]),
                _value(figures["CPU per message"]),
                _value(figures["messages handed over"]),
                _value(ratio) + _verdict(ratio),
                figures[name]["note"],
            ]
        )
    header = ["peer", "messages/s", "CPU, us per message", "messages", "proxy : peer", "what it is"]
    return _table(header, rows)


def stages(runs: Runs) -> str:
    rows = [[name, f"{_value(figure)} us"] for name, figure in runs.figures("stages").items()]
    return _table(["stage", "CPU per message"], rows)


def growth(runs: Runs) -> str:
    figures = runs.figures("growth")
    labels = dict.fromkeys(name.partition(":")[0] for name in figures)
    rows = []
    for label in labels:
        rate = figures[f"{label}: end to end"]
        rows.append(
            [label, _value(figures[f"{label}: CPU per message"]), _value(rate), rate["note"]]
        )
    return _table(["", "CPU, us per message", "messages/s", "measured with"], rows)


def writes(runs: Runs) -> str:
    figures = runs.figures("writes")
    names = dict.fromkeys(name.partition(":")[0] for name in figures if ":" in name)
    parts = ("rows written", "WAL", "commits", "PostgreSQL's CPU", "the proxy's CPU")
    rows = []
    for name in names:
        values = [_value(figures[f"{name}: {part}"]) for part in parts]
        rows.append([name, *values, figures[f"{name}: rows written"]["note"]])
    header = ["", "rows", "WAL, bytes", "commits per 1000", "PostgreSQL's CPU, us"]
    return _table([*header, "the proxy's CPU, us", "rows in detail"], rows)


def long_queues(runs: Runs) -> str:
    rows = []
    for scenario in _LONG:
        both = [runs.figures(scenario, database) for database in ("sqlite", "postgresql")]
        for name in dict.fromkeys(name for figures in both for name in figures):
            found = [figures.get(name) for figures in both]
            rows.append([f"`{scenario}`", name, *(_with_note(figure) for figure in found)])
    return _table(["", "", "SQLite", "PostgreSQL"], rows)


def _with_note(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return ""
    note = f" ({figure['note']})" if figure["note"].startswith("p99") else ""
    return f"{_value(figure)} {figure['unit']}".strip() + note


def hourly(runs: Runs) -> str:
    """What follows from the costs for so many messages an hour."""
    figures = runs.figures("writes")
    if not figures:
        return "Not measured.\n"
    size = float(runs.contents[-1]["options"]["size_bytes"])
    costs: dict[str, Callable[[float], str]] = {
        "messages a second": lambda rate: number(round(rate)),
        "mail to the SMTP servers, MB/s": lambda rate: f"{rate * size / 1e6:.1f}",
        "processor cores of the proxies": _cores(figures["all stages: the proxy's CPU"]),
        "processor cores of PostgreSQL": _cores(figures["all stages: PostgreSQL's CPU"]),
        "rows written a second": _rate(figures["all stages: rows written"], 1, "{:,.0f}"),
        "WAL, MB/s": _rate(figures["all stages: WAL"], 1e6, "{:,.1f}"),
        "database growth, GB an hour": _rate(
            figures["database size per message"], 1e9 / _SECONDS_PER_HOUR, "{:,.0f}"
        ),
    }
    rates = [millions * 1e6 / _SECONDS_PER_HOUR for millions in _MILLIONS_PER_HOUR]
    rows = [[name, *(cost(rate) for rate in rates)] for name, cost in costs.items()]
    return _table(["an hour", *(f"{n} million" for n in _MILLIONS_PER_HOUR)], rows)


def _cores(figure: dict[str, Any]) -> Callable[[float], str]:
    return lambda rate: f"{rate * figure['value'] / 1e6:.2g}"


def _rate(figure: dict[str, Any], unit: float, shown: str) -> Callable[[float], str]:
    return lambda rate: shown.format(rate * figure["value"] / unit)


def _joined(name: str, values: list[str]) -> str:
    return "<br>".join(f"`{value}`" if name == "command" else value for value in values)


def _described(figure: dict[str, Any]) -> Row:
    value = f"{_value(figure)} {figure['unit']}".strip()
    return [figure["name"], value, figure["bound"] or "", _verdict(figure).strip()]


def _value(figure: dict[str, Any]) -> str:
    return number(figure["value"])


def _verdict(figure: dict[str, Any]) -> str:
    return {None: "", True: " ok", False: " **missed**"}[figure["ok"]]


def _table(header: Row, rows: list[Row]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


_TABLES: dict[str, Callable[[Runs], str]] = {
    table.__name__: table
    for table in (machine, proxy, peers, stages, growth, writes, long_queues, hourly)
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="RUN.json")
    runs = Runs(parser.parse_args().files)
    for page in _PAGES:
        text = page.read_text()
        page.write_text(_PLACE.sub(lambda place: _filled(place, runs), text))


def _filled(place: re.Match[str], runs: Runs) -> str:
    return f"{place[1]}{_TABLES[place[2]](runs)}{place[3]}"


if __name__ == "__main__":
    main()
