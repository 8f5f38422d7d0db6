"""Garbage collector of a process that serves or delivers."""

from __future__ import annotations

import gc


def freeze_loaded_objects() -> None:
    """Take everything that a start has loaded out of the garbage collector's rounds.

    A full collection goes through all objects and holds the interpreter lock meanwhile: 100 ms with
    the modules of the service, during which the event loop stands still. Call it once, when the
    process has started; it takes as long itself.
    """
    gc.collect()
    gc.freeze()
