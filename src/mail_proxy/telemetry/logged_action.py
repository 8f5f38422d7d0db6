"""Base of the actions of the log: name, level, sentence and fields of each."""

from __future__ import annotations

import logging
from enum import Enum


class LoggedAction(Enum):
    """Event that is logged: its stable name, level, sentence and allowed fields.

    It has no members. Each part of the program that has many is a subclass.
    """

    def __init__(self, word: str, level: int, sentence: str, *fields: str) -> None:
        self.word = word
        self.level = level
        self.sentence = sentence
        self.fields = fields
        self.logger = logging.getLogger(f"mail_proxy.{word.partition('.')[0]}")
