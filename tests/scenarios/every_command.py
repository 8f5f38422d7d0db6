"""Tries every command on a running and on a stopped instance, on both databases.

    python -m tests.scenarios.every_command

Prints a line for each try and exits with 1 if one has an unexpected exit code or a stack trace. It
takes minutes, so it is not among the tests; ``tests/unit/cli/test_every_command.py`` makes sure
that the table names every command.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness.command_line import CommandLine
from tests.harness.corpus import BOUNCES, RECEIPTS
from tests.harness.errors import NotAvailable
from tests.harness.postgres import find_binaries, postgres_server
from tests.harness.processes import free_port


@dataclass(frozen=True)
class Try:
    """A command line and its exit codes on a running and on a stopped instance.

    ``answer`` is typed. ``FILE`` stands for the folder of the try, ``PORT`` for a port where
    nothing listens.
    """

    words: str
    running: int = 0
    stopped: int = 0
    answer: str = ""


_MAIL = "From: ann@example.org\nTo: bob@example.net\nSubject: s\n\nHello\n"
#: In this order: later ones use what earlier ones have made.
TRIES = (
    Try("list"),
    Try("current"),
    Try("use shop"),
    Try("use --clear"),
    Try("status shop", 0, 3),
    Try("shop info"),
    Try("shop stats"),
    Try("shop top --once", 0, 1),
    Try("shop log"),
    Try("shop audit"),
    Try("shop token"),
    Try("shop db upgrade", 1, 0),
    Try("shop tenants add --id acme --name Acme"),
    Try("shop tenants list"),
    Try("shop tenants show acme"),
    Try("shop tenants update acme --name Other"),
    Try("shop tenants key acme"),
    Try("shop acme info"),
    Try("shop default accounts add --id smtp --host 127.0.0.1 --port PORT --tls none"),
    Try("shop default accounts list"),
    Try("shop default accounts show smtp"),
    Try("shop default accounts test smtp", 1, 1),
    Try("shop default suspend"),
    Try("shop default send FILE/mail.eml --id m1"),
    Try("shop default send --id m2 --timeout 1", 1, 0, "a@example.org\nb@example.net\ns\nt\n"),
    Try("shop default messages list"),
    Try("shop default messages show m1"),
    Try("shop default messages replies m1"),
    Try("shop default messages receipts m1"),
    Try("shop default messages retry m1 --dry-run"),
    Try("shop default messages cleanup"),
    Try("shop default messages delete m1"),
    Try("shop default activate"),
    Try("shop default run-now", 0, 1),
    Try("shop default suppressions add gone@example.net"),
    Try("shop default suppressions list"),
    Try("shop default suppressions export"),
    Try("shop default suppressions import FILE/gone.csv"),
    Try("shop default suppressions delete gone@example.net"),
    Try("shop default dkim add example.org --algorithm ed25519-sha256"),
    Try("shop default dkim list"),
    Try("shop default dkim check example.org gmp1", 1, 1),
    Try("shop default dkim delete example.org gmp1"),
    Try("shop default storages add docs --protocol local --set base_path=/srv/docs"),
    Try("shop default storages list"),
    Try("shop default storages show docs"),
    Try("shop default storages delete docs"),
    Try("shop bounces show"),
    Try("shop bounces reload"),
    Try("shop alerts test", 1, 1),
    Try("shop open", 0, 1),
    Try("shop connect", answer="proxy.status()\n"),
    Try("shop doctor", 5, 5),
    Try("shop backup FILE/shop.tar.gz"),
    Try("restore copy FILE/shop.tar.gz --held RESTORE"),
    Try("delete copy --force"),
    Try("shop default accounts delete smtp --force"),
    Try("shop tenants delete acme --force"),
    Try("shop keys rotate", 1, 0),
    Try("shop token --regenerate", 1, 0),
    Try("bounce FILE/bounce.eml"),
    Try("pec FILE/receipt.eml"),
)
#: Tried by other tests, in processes of their own.
ELSEWHERE = {
    *("start", "stop", "restart", "demo", "bounces set", "bounces test"),
    *("accounts auth", "accounts authorize"),
}


def tried() -> set[str]:
    """Return the commands that the table tries: ``accounts add``, ``list``."""
    found = set()
    for one in TRIES:
        words = [w for w in one.words.split() if w not in ("shop", "default", "acme")]
        found |= {words[0], " ".join(words[:2])}
    return found


def _databases() -> Iterator[tuple[str, str | None]]:
    """Yield a name and the URL of a server for each database."""
    yield "sqlite", None
    try:
        with postgres_server() as url:
            yield "postgresql", url
    except NotAvailable as missing:
        print(f"postgresql left out: {missing}")


def _new_database(server: str) -> str:
    import psycopg

    name = f"try_{time.monotonic_ns()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return f"{server.rsplit('/', 1)[0]}/{name}"


def _prepared(folder: Path, server: str | None) -> CommandLine:
    (folder / "mail.eml").write_text(_MAIL)
    (folder / "gone.csv").write_text("gone@example.net\n")
    (folder / "bounce.eml").write_bytes(next(iter(BOUNCES)).read_bytes())
    (folder / "receipt.eml").write_bytes(next(iter(RECEIPTS)).read_bytes())
    command_line = CommandLine(folder / "home")
    # A DNS server that refuses at once: no look-up leaves this machine.
    command_line.environ["GMP_DNS_SERVERS"] = f"127.0.0.1:{free_port()}"
    if server is not None:
        command_line.environ["PATH"] = f"{find_binaries()}:{os.environ['PATH']}"
    command_line.started("shop", *(["--database-url", _new_database(server)] if server else []))
    return command_line


def _failures(name: str, server: str | None, *, running: bool) -> Iterator[str]:
    state = "running" if running else "stopped"
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        command_line = _prepared(folder, server)
        try:
            if not running:
                command_line("stop", "shop")
            for one in TRIES:
                wanted = one.running if running else one.stopped
                shown = one.words.replace("FILE", text).replace("PORT", str(free_port()))
                place = f"--database-url {_new_database(server)}" if server else ""
                words: Sequence[str] = shown.replace("RESTORE", place).split()
                done = command_line(*words, answer=one.answer)
                is_good = done.returncode == wanted and "Traceback" not in done.stderr
                mark = "ok  " if is_good else "FAIL"
                print(f"{mark} {name} {state} {done.returncode} {one.words}", flush=True)
                if not is_good:
                    yield f"{name} {state} {one.words}: {done.returncode}\n{done.stderr}"
        finally:
            command_line.end_everything()


def main() -> None:
    """Try everything, and say what failed."""
    failures = [
        failure
        for name, server in _databases()
        for running in (True, False)
        for failure in _failures(name, server, running=running)
    ]
    print(f"{len(TRIES) * 4} tries, {len(failures)} failures", *failures, sep="\n")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
