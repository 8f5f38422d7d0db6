"""Interpreter and system limits of a serving process: thread switches, open files."""

from __future__ import annotations

import resource
import sys

#: Database threads and the event loop share the interpreter lock. With CPython's default of 5 ms a
#: busy loop starves the threads (a commit of 1000 rows took seconds; with 0.1 ms, 30 ms).
_SWITCH_INTERVAL_SECONDS = 0.0001
#: Enough for thousands of servers that hang. Some systems allow a billion, and some libraries
#: allocate a table of that size.
_MOST_FILES = 65536


def prepare_process() -> None:
    """Shorten the thread switch interval; raise the limit of open files, up to 65536.

    Systems set the soft limit of open files to 1024 because of ``select``, which is not used here.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
