"""Readers of answers: the whole model, one field of it, a text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)
Found = TypeVar("Found")


def model(kind: type[Model]) -> Callable[[bytes], Model]:
    """Return a reader of a JSON object. Fields of a newer service are left out."""
    return kind.model_validate_json


def field_of(kind: type[Model], take: Callable[[Model], Found]) -> Callable[[bytes], Found]:
    """Return a reader of a part of a JSON object."""
    return lambda content: take(kind.model_validate_json(content))


def text(content: bytes) -> str:
    """Return the answer as a text."""
    return content.decode()
