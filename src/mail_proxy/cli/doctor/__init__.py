"""Examination of an instance: finds faults, and says what to do about each.

Nothing is changed. Files and database are read, servers are asked at the same time, each for a
bounded time.
"""

from mail_proxy.cli.doctor.examination import examine
from mail_proxy.cli.doctor.finding import Finding

__all__ = ["Finding", "examine"]
