"""The files that git keeps: text and pictures of the docs, and none that is large"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

_ROOT = Path(__file__).parents[2]
_PICTURES = _ROOT / "docs" / "_static"
_MOST_BYTES = 200_000
_YAML = (".github", ".pre-commit-config.yaml", ".readthedocs.yaml")


def _tracked() -> list[tuple[str, Path]]:
    """How git sees each file (``-text`` is binary), and its path."""
    # The checkout may belong to another user than the one who runs the tests.
    command = ["git", "-c", "safe.directory=*", "ls-files", "--eol", "-z"]
    listed = subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True).stdout
    rows = (row.split("\t", 1) for row in listed.split("\0") if row)
    return [(kind.split()[0].removeprefix("i/"), _ROOT / name) for kind, name in rows]


def test_no_binary_and_no_large_file_is_kept() -> None:
    tracked = [(kind, path) for kind, path in _tracked() if path.is_file()]
    assert len(tracked) > 100
    binary = [path for kind, path in tracked if kind == "-text"]
    assert [path for path in binary if path.suffix != ".png" or path.parent != _PICTURES] == []
    assert [path for _, path in tracked if path.stat().st_size > _MOST_BYTES] == []


@pytest.mark.parametrize("name", _YAML)
def test_the_settings_of_services_are_yaml(name: str) -> None:
    start = _ROOT / name
    files = [*start.rglob("*.yml"), *start.rglob("*.yaml")] if start.is_dir() else [start]
    assert files
    for file in files:
        assert isinstance(yaml.safe_load(file.read_text()), dict)
