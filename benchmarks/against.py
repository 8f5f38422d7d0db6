"""Another commit of the proxy, installed beside this one to be measured in turn with it."""

import io
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

from tests.harness.errors import NotAvailable

from benchmarks.figures import Figure

_ROOT = Path(__file__).parents[1]
_INSTALLED = _ROOT / "build" / "against"
_INSTALL_SECONDS = 600
_COMPARED_UNITS = frozenset({"us", "ms", "s", "messages/s", "calls/s", "MiB"})


def install(commit: str) -> tuple[str, list[str]]:
    """Return the short hash of a commit, and the command of a proxy that is built from it.

    It gets a virtual environment of its own below ``build/against``, which is used again.
    """
    short = _git("rev-parse", "--short", f"{commit}^{{commit}}").decode().strip()
    folder = _INSTALLED / short
    command = folder / "venv" / "bin" / "mail-proxy"
    if not command.exists():
        with tarfile.open(fileobj=io.BytesIO(_git("archive", short))) as source:
            source.extractall(folder / "source", filter="data")
        _run(sys.executable, "-m", "venv", folder / "venv")
        _run(folder / "venv/bin/python", "-m", "pip", "install", "-q", *_wanted(folder / "source"))
    return short, [str(command)]


def compared(figures: Iterable[Figure], others: Iterable[Figure], commit: str) -> list[Figure]:
    """Return the figures, each followed by that of the other commit and the ratio to it."""
    by_name = {figure.name: figure.value for figure in others}
    both: list[Figure] = []
    for figure in figures:
        both.append(figure)
        other = by_name.get(figure.name)
        if other and figure.unit in _COMPARED_UNITS:
            both.append(Figure(f"{figure.name} at {commit}", other, figure.unit))
            both.append(Figure(f"{figure.name} : {commit}", figure.value / other))
    return both


def _wanted(source: Path) -> list[str]:
    """Return what to install: the versions of libraries that the commit was tested with."""
    pins = source / "requirements-dev.txt"
    return [*(("-c", str(pins)) if pins.exists() else ()), f"{source}[postgresql]"]


def _git(*words: str) -> bytes:
    return _run("git", "-C", _ROOT, *words)


def _run(*words: str | Path) -> bytes:
    done = subprocess.run(words, capture_output=True, timeout=_INSTALL_SECONDS, check=False)
    if done.returncode:
        raise NotAvailable(f"{words[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
