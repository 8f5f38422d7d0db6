"""Orders in which accounts and tenants take turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def alternating(lists: Sequence[list[Item]]) -> list[Item]:
    """Return the first items of all lists, then the second ones, and so on."""
    longest = max(len(items) for items in lists)
    return [items[i] for i in range(longest) for items in lists if i < len(items)]


def rotated(items: list[Item], by: int) -> list[Item]:
    """Return the items from position ``by`` on, followed by those before it."""
    start = by % len(items)
    return items[start:] + items[:start]
