"""Chart of the messages of 24 hours, as bars for an SVG picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

HOURS = 24
#: Size of the picture, in its own units.
WIDTH, HEIGHT, GAP = 960, 160, 6
_STEP = WIDTH / HOURS
#: In the order of the stack, from the bottom.
SHOWN = ("sent", "bounced", "error")


@dataclass(frozen=True)
class Part:
    """Part of a bar, of one kind."""

    kind: str
    y: float
    height: float


@dataclass(frozen=True)
class Bar:
    """Bar of one hour with its numbers."""

    at: int
    x: float
    parts: tuple[Part, ...]
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Chart:
    """Bars of 24 hours; ``highest`` is the number at the upper edge."""

    bars: tuple[Bar, ...]
    highest: int
    bar_width: float = _STEP - GAP
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def is_empty(self) -> bool:
        """True if nothing happened in these hours."""
        return not any(bar.parts for bar in self.bars)


def chart(first_hour: int, rows: Iterable[tuple[int, Mapping[str, int]]]) -> Chart:
    """Make the chart of the 24 hours from ``first_hour`` (Unix seconds)."""
    counts = [dict.fromkeys((*SHOWN, "queued", "deferred"), 0) for _ in range(HOURS)]
    for at, row in rows:
        place = (at - first_hour) // 3600
        if 0 <= place < HOURS:
            for name in counts[place]:
                counts[place][name] += row.get(name, 0)
    highest = _round_up(max(sum(c[name] for name in SHOWN) for c in counts))
    bars = [
        Bar(
            first_hour + place * 3600,
            round(place * _STEP + GAP / 2, 1),
            tuple(_stack(found, highest)),
            found,
        )
        for place, found in enumerate(counts)
    ]
    return Chart(tuple(bars), highest)


def _stack(counts: Mapping[str, int], highest: int) -> Iterable[Part]:
    top = float(HEIGHT)
    for name in SHOWN:
        if counts[name]:
            # A single failure among thousands must still be seen.
            height = max(2.0, counts[name] / highest * HEIGHT)
            top -= height
            yield Part(name, round(max(0.0, top), 1), round(height, 1))


def _round_up(value: int) -> int:
    """Return the next of 1, 2, 5, 10, 20, 50, ..., at least 5."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if factor * step >= max(5, value):
                return factor * step
        step *= 10
