"""Options and servers of the measurements."""

from dataclasses import dataclass, field
from functools import cached_property

from tests.harness.proxy import Launch
from tests.harness.rig import Rig, RigOptions

from benchmarks.calibration import Calibration
from benchmarks.figures import Bound, Figure
from benchmarks.smtp_sink import SmtpSink


@dataclass(frozen=True)
class Options(RigOptions):
    """Sizes of the measurements, beside what a rig needs."""

    repeat: int = 1
    messages: int = 20_000
    size_bytes: int = 2048
    single_calls: int = 4_000
    clients: int = 16
    latency_calls: int = 200
    finished: int = 200_000
    drain_messages: int = 10_000
    waiting: int = 1_000_000
    memory_messages: int = 100_000
    accounts: int = 10_000
    crash_messages: int = 5_000
    kills: int = 5
    dispatcher_messages: int = 5_000
    limit_seconds: int = 185
    chaos_messages: int = 10_000
    faults: int = 30
    fairness_messages: int = 50_000
    hang_messages: int = 10_000
    attachment_messages: int = 1000
    large_attachments: int = 50
    stall_seconds: float = 120
    #: Whether the software of a peer may be installed if it is missing.
    install: bool = False
    launch: Launch = field(default_factory=Launch)
    #: Another commit, and how to start it.
    against: tuple[str, Launch | None] = ("", None)


class Bench(Rig):
    """A rig with the options of the measurements."""

    options: Options

    @cached_property
    def calibration(self) -> Calibration:
        """The loops that see the processors' speed; the first use starts them."""
        return Calibration(self.children, self.new_directory("calibration"))

    def cpu(
        self, name: str, seconds: float, count: int, begun: float, most_us: float | None = None
    ) -> list[Figure]:
        """Return the CPU time for one of ``count``, as it was and at the reference speed.

        ``begun`` is the monotonic time at which the measurement began.
        """
        each = seconds / count * 1e6
        bound = None if most_us is None else Bound("<=", most_us)
        speed = self.calibration.speed(begun)
        return [
            Figure(name, each, "us"),
            Figure(f"{name}, calibrated", each * speed, "us", bound),
        ]

    def smtp_sink(self) -> SmtpSink:
        """Return Postfix's smtp-sink, which counts faster than the recording sink."""
        return SmtpSink(self.children, self.new_directory("smtp-sink"))
