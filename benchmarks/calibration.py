"""Speed of the processors during a measurement, seen by a fixed loop that runs beside it.

A virtual machine's processors may change their speed by a factor of two from second to second,
with the load of others on the same host. The CPU time of the same work changes with it. A loop of
fixed length runs on each processor every 30 ms (5 % of its time); CPU times divided by the loop's
are comparable.
"""

import os
import statistics
import sys
import time
from pathlib import Path

from tests.harness.processes import Children
from tests.harness.sinks import wait_for

#: CPU time of the loop that calibrated figures refer to.
REFERENCE_SECONDS = 0.00146
_ROUNDS = 20_000
_PAUSE_SECONDS = 0.03
_START_SECONDS = 30
_ROOT = Path(__file__).parents[1]


class Calibration:
    """One loop on each processor, until the rig's processes end."""

    def __init__(self, children: Children, directory: Path) -> None:
        directory.mkdir()
        self._files = []
        for processor in sorted(os.sched_getaffinity(0)):
            file = directory / f"processor-{processor}"
            with file.open("wb") as output:
                command = [sys.executable, "-m", "benchmarks.calibration", str(processor)]
                children.start("calibration", command, stdout=output, cwd=_ROOT)
            self._files.append(file)
        wait_for(self._begun, len(self._files), stall_seconds=_START_SECONDS)

    def _begun(self) -> int:
        return sum(file.stat().st_size > 0 for file in self._files)

    def begin(self) -> float:
        """Return the monotonic time, for the beginning of a measurement."""
        return time.monotonic()

    def speed(self, begun: float) -> float:
        """Return the mean speed since the monotonic time ``begun``; the reference is 1."""
        samples = []
        for file in self._files:
            # The last line may be unfinished.
            for line in file.read_text().splitlines()[:-1]:
                at, seconds = map(float, line.split())
                if at >= begun:
                    samples.append(REFERENCE_SECONDS / seconds)
        return statistics.mean(samples) if samples else float("nan")


def _loop() -> None:
    total = 0
    for number in range(_ROUNDS):
        total += number & 7


def main(processor: int) -> None:
    os.sched_setaffinity(0, {processor})
    while True:
        begun = time.thread_time()
        _loop()
        seconds = time.thread_time() - begun
        sys.stdout.write(f"{time.monotonic()} {seconds}\n")
        sys.stdout.flush()
        time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    main(int(sys.argv[1]))
