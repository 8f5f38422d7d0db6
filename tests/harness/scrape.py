"""A scrape of /metrics, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


class Scrape:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self._samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of those with this name and these labels; KeyError where there is none."""
        found = [
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        if not found:
            raise KeyError(name, labels)
        return sum(found)

    def has(self, name: str, **labels: str) -> bool:
        return any(
            sample.name == name and labels.items() <= sample.labels.items()
            for sample in self._samples
        )

    def values_of(self, name: str, label: str) -> set[str]:
        """The values that a label has in the samples of this name."""
        return {sample.labels[label] for sample in self._samples if sample.name == name}
