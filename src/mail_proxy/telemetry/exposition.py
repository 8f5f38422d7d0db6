"""Values of Prometheus series, and their text for a scrape.

The values are those of prometheus_client, which can keep them in files for another process. Its
text format is not used: it creates an object for each sample, which takes seconds for ten thousand
accounts.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Generic, Protocol, TypeVar

from mail_proxy.telemetry.series import Series


class Value(Protocol):
    """Number in memory or in a file."""

    def inc(self, amount: float) -> None: ...
    def set(self, value: float) -> None: ...
    def get(self) -> float: ...


#: Function that returns the value of a part of a series, for these label values.
NewValue = Callable[[Series, str, Sequence[str]], Value]


class Number:
    """Counter or gauge. ``others`` is the sum of the values of other processes."""

    def __init__(self, series: Series, labels: Sequence[str], new_value: NewValue) -> None:
        pairs = _pairs(series.labels, labels)
        self._head = f"{series.name}{{{pairs}}}" if pairs else series.name
        self._value = new_value(series, "", labels)
        self.others = 0.0

    def inc(self, amount: float = 1) -> None:
        self._value.inc(amount)

    def set(self, value: float) -> None:
        self._value.set(value)

    def forget_others(self) -> None:
        self.others = 0.0

    def add_others(self, part: str, value: float) -> None:
        self.others += value

    def lines(self) -> str:
        return f"{self._head} {_number(self._value.get() + self.others)}\n"


class Distribution:
    """Histogram. A bucket is created with its first observation."""

    _SUM = "sum"

    def __init__(self, series: Series, labels: Sequence[str], new_value: NewValue) -> None:
        self._series = series
        self._labels = labels
        self._new_value = new_value
        self._bounds = series.buckets
        self._les = _les(series.buckets)
        self._sum = new_value(series, self._SUM, labels)
        self._counts: dict[int, Value] = {}
        self._others: dict[str, float] = {}

    def observe(self, value: float) -> None:
        self.observe_all((value,))

    def observe_all(self, values: Sequence[float]) -> None:
        """Add many observations, for little more than the cost of one."""
        found: dict[int, int] = {}
        for value in values:
            index = bisect_left(self._bounds, value)
            found[index] = found.get(index, 0) + 1
        for index, count in found.items():
            bucket = self._counts.get(index)
            if bucket is None:
                bucket = self._new_value(self._series, str(index), self._labels)
                self._counts[index] = bucket
            bucket.inc(count)
        self._sum.inc(sum(values))

    def forget_others(self) -> None:
        self._others.clear()

    def add_others(self, part: str, value: float) -> None:
        self._others[part] = self._others.get(part, 0.0) + value

    def lines(self) -> str:
        labels = _pairs(self._series.labels, self._labels)
        name = self._series.name
        text = []
        count = 0.0
        for index, le in enumerate(self._les):
            bucket = self._counts.get(index)
            count += self._others.get(str(index), 0.0) if self._others else 0.0
            count += bucket.get() if bucket is not None else 0.0
            text.append(f"{name}_bucket{{{labels},{le}}} {count!r}\n")
        total = self._sum.get() + self._others.get(self._SUM, 0.0)
        text.append(f"{name}_count{{{labels}}} {count!r}\n{name}_sum{{{labels}}} {total!r}\n")
        return "".join(text)


Child = TypeVar("Child", Number, Distribution)


class Family(Generic[Child]):
    """All label values of one series; each is created at its first use."""

    def __init__(
        self,
        series: Series,
        kind: Callable[[Series, Sequence[str], NewValue], Child],
        new_value: NewValue,
    ) -> None:
        self.series = series
        self._kind: Callable[[Series, Sequence[str], NewValue], Child] = kind
        self._new_value = new_value
        self._children: dict[tuple[str, ...], Child] = {}

    def of(self, *labels: str) -> Child:
        """Return the child with these label values, in the order of ``series.labels``."""
        child = self._children.get(labels)
        if child is None:
            # setdefault, because a scrape on another thread may create the same child.
            new = self._kind(self.series, labels, self._new_value)
            child = self._children.setdefault(labels, new)
        return child

    def remove(self, *labels: str) -> None:
        del self._children[labels]

    def children(self) -> Iterable[Child]:
        return list(self._children.values())

    def text(self) -> Iterator[str]:
        """Yield the lines of the Prometheus exposition format."""
        series = self.series
        yield f"# HELP {series.name} {series.help}\n# TYPE {series.name} {series.kind}\n"
        for child in self.children():
            yield child.lines()


@cache
def _les(bounds: tuple[float, ...]) -> tuple[str, ...]:
    return (*(f'le="{bound!r}"' for bound in bounds), 'le="+Inf"')


def _pairs(names: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(f'{n}="{_escaped(v)}"' for n, v in sorted(zip(names, values, strict=True)))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else repr(value)
