"""Interpreter and system limits of a serving process: thread switches, open files."""

from __future__ import annotations

import ctypes
import resource
import sys

#: Database threads and the event loop share the interpreter lock. With CPython's default of 5 ms a
#: busy loop starves the threads (a commit of 1000 rows took seconds; with 0.1 ms, 30 ms).
_SWITCH_INTERVAL_SECONDS = 0.0001
#: Enough for thousands of servers that hang. Some systems allow a billion, and some libraries
#: allocate a table of that size.
_MOST_FILES = 65536
#: Names of glibc's parameters, in ``malloc.h``.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
#: A larger block is returned to the system when it is freed. By default glibc raises the limit to
#: 32 MB after the first such block. Later ones leave holes in the heap, which stays large.
_LARGE_BLOCK_BYTES = 4 * 2**20
#: Free memory that the heap keeps at its end: twice the size of a block, glibc's own rule.
_KEPT_BYTES = 8 * 2**20


def prepare_process() -> None:
    """Set the thread switch interval, the limit of open files and the allocator.

    Systems set the soft limit of open files to 1024 because of ``select``, which is not used here.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
    _return_large_blocks()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _return_large_blocks() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
