"""Command line of the benchmarks."""

import argparse
import dataclasses
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from tests.harness.errors import HarnessError, NotAvailable
from tests.harness.proxy import Launch, installed_command

from benchmarks import against, machine
from benchmarks.bench import Bench, Options
from benchmarks.figures import Figure, combine
from benchmarks.report import Report, Result
from benchmarks.scenarios import GROUPS, SCENARIOS, Scenario

# One of these ends its measurement, not the others: the last two are answers of the proxy
# that lack what is documented.
_FAILURES = (HarnessError, OSError, subprocess.SubprocessError, LookupError, ValueError)
_COUNTS = {
    "messages": "messages of end-to-end, exactly-once and large-call intake",
    "size-bytes": "length of a message body",
    "single-calls": "single-message calls of intake",
    "clients": "concurrent clients of those",
    "latency-calls": "messages of latency",
    "finished": "finished messages that drain puts into the database first",
    "drain-messages": "messages of one drain",
    "waiting": "messages that wait in backlog",
    "memory-messages": "messages of memory",
    "accounts": "accounts of many-accounts",
    "crash-messages": "messages of crash",
    "kills": "kills of crash",
    "dispatcher-messages": "messages of two-dispatchers",
    "limit-seconds": "how long rate-limit watches",
    "chaos-messages": "messages of chaos",
    "faults": "faults of chaos",
    "fairness-messages": "messages of the other tenant in fairness",
    "hang-messages": "messages of the account that works in hang",
    "attachment-messages": "messages with the same 1 MB in attachments",
    "large-attachments": "messages with 20 MB each in attachments",
    "seed": "of the random moments",
    "repeat": "runs of each measurement; the table shows medians",
}


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    chosen = parser.parse_args(arguments)
    names = _names(parser, chosen.only)
    options = _options(chosen)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(stderr=True)
    directory = Path(tempfile.mkdtemp(prefix="mail-proxy-bench-", dir=chosen.data_dir))
    directory.chmod(0o755)  # the servers that run as nobody have their files below
    bench = Bench(options, directory)
    results: list[Result] = []
    interrupted = False
    described = machine.describe(directory)
    try:
        # One at a time, so that an interrupted run still shows what it had.
        results.extend(_measure(bench, console, name, SCENARIOS[name]) for name in names)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        bench.close()
        if chosen.keep:
            console.print(f"kept: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    report = Report(described, dataclasses.asdict(options), bench.children.commands, results)
    report.print(Console(width=None if sys.stdout.isatty() else 150))
    if chosen.json:
        report.write(chosen.json)
    return 130 if interrupted else int(any(result.broken for result in results))


def _measure(bench: Bench, console: Console, name: str, scenario: Scenario) -> Result:
    rounds = []
    started = time.monotonic()
    try:
        for number in range(1 if scenario.repeats_itself else bench.options.repeat):
            console.print(f"{name} ({number + 1}): {scenario.about}", highlight=False)
            rounds.append(_in_turn(bench, scenario, number))
    except NotAvailable as error:
        return Result(name, "skipped", reason=str(error))
    except _FAILURES as error:
        reason = str(error) if isinstance(error, HarnessError) else repr(error)
        console.print(f"{name} failed: {reason}", style="red", markup=False)
        return Result(name, "failed", combine(rounds), reason=reason)
    return Result(name, "measured", combine(rounds), seconds=time.monotonic() - started)


def _in_turn(bench: Bench, scenario: Scenario, number: int) -> list[Figure]:
    """Measure the proxy, and the other commit before or after it, if there is one."""
    ours, (commit, other) = bench.options, bench.options.against
    if other is None:
        return scenario.run(bench)
    figures = {}
    for launch in (ours.launch, other) if number % 2 else (other, ours.launch):
        bench.options = dataclasses.replace(ours, launch=launch)
        figures[launch is other] = scenario.run(bench)
    bench.options = ours
    return against.compared(figures[False], figures[True], commit)


def _parser() -> argparse.ArgumentParser:
    defaults = Options()
    listing = "\n".join(f"  {name:<16} {scenario.about}" for name, scenario in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures a mail proxy from outside. Everything runs on loopback.",
        epilog=f"measurements:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", metavar="NAME,...", help="these measurements only; peers: all peers")
    add("--database", choices=["sqlite", "postgresql"], default=defaults.database)
    for name, about in _COUNTS.items():
        value = getattr(defaults, name.replace("-", "_"))
        add(f"--{name}", type=int, default=value, metavar="N", help=f"{about} ({value})")
    add("--stall-seconds", type=float, default=defaults.stall_seconds, metavar="S")
    add("--workers", type=int, metavar="N", help="passed on to the proxy")
    add("--command", metavar="LINE", help="the proxy's command, if not the installed one")
    add("--against", metavar="COMMIT", help="measure this commit too, in turn")
    add("--env", action="append", default=[], metavar="GMP_X=V", help="a setting for the proxy")
    add("--pg-bin", type=Path, metavar="DIR", help="PostgreSQL's programs")
    add("--data-dir", type=Path, metavar="DIR", help="for databases; a real disk, not a tmpfs")
    add("--keep", action="store_true", help="keep databases and logs")
    add("--install", action="store_true", help="install what a peer needs: apt, pip, npm")
    add("--json", type=Path, metavar="FILE", help="write all figures there too")
    return parser


def _names(parser: argparse.ArgumentParser, only: str | None) -> list[str]:
    if only is None:
        return [name for name, scenario in SCENARIOS.items() if scenario.by_default]
    given = [name.strip() for name in only.split(",")]
    names = [name for word in given for name in GROUPS.get(word, [word])]
    if unknown := [name for name in names if name not in SCENARIOS]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join([*SCENARIOS, *GROUPS])}")
    return names


def _options(chosen: argparse.Namespace) -> Options:
    settings = dict(pair.split("=", 1) for pair in chosen.env)
    command = shlex.split(chosen.command) if chosen.command else installed_command()
    counts = {name.replace("-", "_"): getattr(chosen, name.replace("-", "_")) for name in _COUNTS}
    other: tuple[str, Launch | None] = ("", None)
    if chosen.against:
        commit, built = against.install(chosen.against)
        other = (commit, Launch(built, chosen.workers, settings))
    return Options(
        **counts,
        against=other,
        database=chosen.database,
        stall_seconds=chosen.stall_seconds,
        pg_bin=chosen.pg_bin,
        install=chosen.install,
        launch=Launch(command, chosen.workers, settings),
    )


if __name__ == "__main__":
    sys.exit(main())
