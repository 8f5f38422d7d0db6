"""What was measured, how repeated runs become one figure, and which bounds it has to keep."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Bound:
    """`exact` bounds are promises about mail: each single run has to keep them."""

    relation: Literal["=", "<=", ">="]
    value: float

    @property
    def exact(self) -> bool:
        return self.relation == "="

    def holds(self, value: float) -> bool:
        if self.relation == "=":
            return value == self.value
        return value <= self.value if self.relation == "<=" else value >= self.value

    def __str__(self) -> str:
        return f"{self.relation} {self.value:g}"


@dataclass(frozen=True)
class Figure:
    name: str
    value: float
    unit: str = ""
    bound: Bound | None = None
    note: str = ""
    runs: list[float] = field(default_factory=list)

    @property
    def ok(self) -> bool | None:
        return None if self.bound is None else self.bound.holds(self.value)

    def as_dict(self) -> dict[str, Any]:
        bound = None if self.bound is None else str(self.bound)
        return {**asdict(self), "bound": bound, "ok": self.ok}


def combine(rounds: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Medians over the rounds; for an exact bound the run that broke it, if one did."""
    by_name: dict[str, list[Figure]] = {}
    for figure in (figure for figures in rounds for figure in figures):
        by_name.setdefault(figure.name, []).append(figure)
    return [_combined(figures) for figures in by_name.values()]


def _combined(figures: list[Figure]) -> Figure:
    last = figures[-1]
    values = [figure.value for figure in figures]
    value = statistics.median(values)
    if last.bound is not None and last.bound.exact:
        value = next((v for v in values if not last.bound.holds(v)), last.value)
    notes = "; ".join(dict.fromkeys(figure.note for figure in figures if figure.note))
    runs = [run for figure in figures for run in figure.runs] or values
    return Figure(last.name, value, last.unit, last.bound, notes, runs)


def percentile(values: Iterable[float], percent: float) -> float:
    """Nearest rank: a value that really occurred."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
