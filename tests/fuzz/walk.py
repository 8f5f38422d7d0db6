"""Hostile walk: attacks one after the other, while a second tenant works.

    python -m tests.fuzz.walk --database postgresql --workers 1

Prints for each attack the longest answer to ``/health`` and to the second tenant's calls, and the
memory of all processes of the service before the attack, at most, and after it. Exit code 1 if one
of them is out of bounds, if a call or a mail of the second tenant is lost, or if the service logs a
fault of its own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal

from tests.fuzz.service import errors_in
from tests.harness.command_line import wait_for
from tests.harness.hostile import ATTACKS, Watch
from tests.harness.hostile_tenants import (
    CALLBACK_ATTACKS,
    HTTP_ATTACKS,
    SMTP_ATTACKS,
    HostileTenant,
)
from tests.harness.proxy import Launch, ProxyProcess
from tests.harness.rig import small_rig
from tests.harness.sinks import RecordingSink

Attack = Callable[[HostileTenant], object]
_ADMIN = "admin-token"
_NEIGHBOUR = "neighbour"
#: A pause of the machine is no weakness of the service: that shows each time.
_TRIES = 3
GROUPS: dict[str, Mapping[str, Attack]] = {
    "raw": ATTACKS,
    "http": HTTP_ATTACKS,
    "smtp": SMTP_ATTACKS,
    "callbacks": CALLBACK_ATTACKS,
}


@dataclass
class Walk:
    """A service under attack, and a tenant that works meanwhile."""

    proxy: ProxyProcess
    sink: RecordingSink
    numbers: Iterator[int]
    neighbour: HostileTenant
    sent: int = 0

    def measure(self, attack: Attack) -> tuple[Watch, int]:
        """Return the watch over an attack, and the bytes of memory after it."""
        for _ in range(_TRIES):
            watch = Watch(self.proxy.port, self.proxy.pid, self._work)
            attacker = self.new_tenant(f"hostile-{next(self.numbers)}")
            with closing(attacker), watch.during():
                attack(attacker)
            # On a new connection: an attack may have had idle ones closed.
            self.proxy.try_request("PUT", f"/tenant/{attacker.tenant}", b'{"active": false}')
            if watch.is_within_bounds or watch.has_grown:
                break
        return watch, watch.resident_bytes()

    def new_tenant(self, name: str) -> HostileTenant:
        """Create a tenant with a key."""
        body = json.dumps({"id": name}).encode()
        key = self.proxy.request("POST", "/tenant", body)["api_key"]
        return HostileTenant(self.proxy.port, name, key, self.proxy.token)

    def check_mails(self) -> None:
        """Wait until each mail of the neighbour has arrived."""
        wait_for(lambda: self.sink.distinct() == self.sent or None)
        assert not self.sink.copies()

    def _work(self) -> bool:
        self.sent += 1
        return self.neighbour.hand_in(self.neighbour.mail(self.sent)) == 200


@contextmanager
def walking(database: Literal["sqlite", "postgresql"], workers: int) -> Iterator[Walk]:
    """Run a service with a tenant that works; at the end, look for faults and lost mails."""
    settings = {"GMP_API_TOKEN": _ADMIN}
    launch = Launch(workers=workers or None, forked=True)
    with small_rig(database=database, launch=launch) as rig, rig.recording_sink() as sink:
        with rig.proxy(database_url=rig.new_database(), settings=settings) as proxy:
            walk = Walk(proxy, sink, itertools.count(1), HostileTenant(proxy.port))
            walk.neighbour = walk.new_tenant(_NEIGHBOUR)
            walk.neighbour.make_account(sink.port)
            yield walk
            walk.check_mails()
        assert not errors_in(proxy.log), errors_in(proxy.log)


def show(name: str, watch: Watch, after_bytes: int) -> str:
    """Return a line of the table."""
    times = f"{watch.longest_seconds:7.3f} {watch.longest_work_seconds:7.3f}"
    sizes = (watch.before_bytes, watch.most_bytes, after_bytes)
    memory = " ".join(f"{size / 1e6:6.0f}" for size in sizes)
    return f"{name:45} {times} {memory}{'' if watch.is_within_bounds else '  OUT OF BOUNDS'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--group", choices=GROUPS, action="append")
    parser.add_argument("--attack", default="", help="only those with this in their name")
    chosen = parser.parse_args()
    is_within = True
    print(f"{'attack':45} /health  POST s  before   most  after MB")
    with walking(chosen.database, chosen.workers) as walk:
        for group in chosen.group or GROUPS:
            for name, attack in GROUPS[group].items():
                if chosen.attack in name:
                    watch, after_bytes = walk.measure(attack)
                    print(show(name, watch, after_bytes), flush=True)
                    is_within &= watch.is_within_bounds
    sys.exit(0 if is_within else 1)


if __name__ == "__main__":
    main()
