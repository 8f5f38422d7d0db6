"""Stories of a bounce mailbox on Dovecot: kills, faults, modes, a large folder.

    python -m benchmarks.bounce_mailbox --bounces 500 --kills 5 --mails 20000 --database sqlite

The exit code is 1 if a bounce was missed or handled twice.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from tests.harness import mailbox_stories
from tests.harness.mailbox_stories import Toll
from tests.harness.rig import Rig, RigOptions

_STORIES = ("killed", "faults", "modes", "large")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bounce_mailbox", description=__doc__
    )
    parser.add_argument("--bounces", type=int, default=500, help="of killed and faults")
    parser.add_argument("--kills", type=int, default=5, help="of killed")
    parser.add_argument("--mails", type=int, default=20_000, help="in the mailbox of large")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--only", choices=_STORIES, action="append")
    options = parser.parse_args()
    console = Console()
    tolls: list[Toll] = []
    for name in options.only or _STORIES:
        with tempfile.TemporaryDirectory(prefix="mail-proxy-mailbox-") as folder:
            directory = Path(folder)
            directory.chmod(0o755)
            rig = Rig(RigOptions(database=options.database), directory)
            try:
                toll = _tell(name, rig, options, console)
            finally:
                rig.close()
        if toll is not None:
            tolls.append(toll)
            console.print(f"{name}: {toll}")
    console.print(f"load average {os.getloadavg()[0]:.1f}")
    return int(any(toll.missed or toll.twice for toll in tolls))


def _tell(name: str, rig: Rig, options: argparse.Namespace, console: Console) -> Toll | None:
    if name == "killed":
        return mailbox_stories.killed(rig, options.bounces, options.kills)
    if name == "faults":
        return mailbox_stories.faults(rig, options.bounces)
    if name == "modes":
        for mode, (inbox, done) in mailbox_stories.after_processing(rig, 20).items():
            console.print(f"modes: {mode}: INBOX {dict(inbox)}, Done {dict(done)}")
        return None
    toll, rate = mailbox_stories.large(rig, options.mails, max(1, options.mails // 40))
    console.print(f"large: {options.mails} mails, {rate:.0f} a second")
    return toll


if __name__ == "__main__":
    sys.exit(main())
