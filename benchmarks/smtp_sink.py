"""Postfix's load programs: smtp-sink, which counts mail, and smtp-source, which sends it."""

import os
import re
import shutil

from tests.harness.errors import NotAvailable
from tests.harness.processes import Process, unprivileged_user
from tests.harness.sinks import ServerProcess

_COUNTER = re.compile(rb"mesg=(\d+)\r")
_COUNTER_BYTES = 96  # more than one running counter line is long


def postfix_tool(name: str) -> str:
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    if found := shutil.which(name, path=places):
        return found
    raise NotAvailable(f"{name} is missing (Debian package postfix)")


class SmtpSink(ServerProcess):
    """Postfix's smtp-sink. It counts what it accepts but cannot tell messages apart."""

    def _launch(self) -> Process:
        # Started as nobody instead of with -u, because a later change of user would
        # lose the signal that ends it with us. -c rewrites its counters after each message.
        with self._output.open("wb") as output:
            return self._children.start(
                "smtp-sink",
                [postfix_tool("smtp-sink"), "-c", "-m", "10000", f"127.0.0.1:{self.port}", "1000"],
                user=unprivileged_user(),
                cwd="/",
                stdout=output,
            )

    def count(self) -> int:
        with self._output.open("rb") as output:
            size = output.seek(0, os.SEEK_END)
            output.seek(max(0, size - _COUNTER_BYTES))
            counters = _COUNTER.findall(output.read())
        return int(counters[-1]) if counters else 0
