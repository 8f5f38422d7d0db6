"""Declare the table of a feature. Features do not import SQLAlchemy themselves.

A column of the type ``Instant`` says how it is repaired after a clock jump, such as
``RECORD_ONLY``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, ForeignKey, Table, Text, tuple_

from mail_proxy.sql.metadata import metadata
from mail_proxy.sql.types import RECORD_ONLY, Instant, Json, Pk, Sealed, at_most

__all__ = [
    "RECORD_ONLY",
    "BigInteger",
    "Column",
    "ForeignKey",
    "Instant",
    "Json",
    "Pk",
    "Sealed",
    "Text",
    "after",
    "at_most",
    "declare_table",
]


def declare_table(name: str, *columns: Column[Any]) -> Table:
    """Return a new table of the schema; a migration creates it."""
    return Table(name, metadata, *columns)


def after(order: Sequence[Column[Any]], place: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition of the rows behind ``place`` in an order of columns."""
    return tuple_(*order) > tuple_(*place)
