"""Order of the tests: those that take longest begin, so that no process works alone at the end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import pytest

#: Folders of ``tests`` whose tests start whole processes.
_SLOW = ("tests/scenarios/", "tests/docs/")


def slow_first(items: Sequence[pytest.Item], processes: int) -> list[pytest.Item]:
    """Return the tests so that each process begins with a share of the slow ones.

    pytest-xdist cuts the list into equal parts, one for each process. A process that has finished
    its part takes tests from the end of another one's. A file stays together, because its tests
    may share a service.
    """
    slow = [item for item in items if item.nodeid.startswith(_SLOW)]
    quick = [item for item in items if not item.nodeid.startswith(_SLOW)]
    heads: list[list[pytest.Item]] = [[] for _ in range(processes)]
    for number, (_, file) in enumerate(groupby(slow, key=lambda item: item.path)):
        heads[number % processes] += file
    ordered: list[pytest.Item] = []
    for number, head in enumerate(heads):
        part = (len(items) - len(ordered)) // (processes - number)
        length = max(0, part - len(head))
        ordered += head + quick[:length]
        quick = quick[length:]
    return ordered + quick
