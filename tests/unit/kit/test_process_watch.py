"""Descriptors and memory of the process"""

from __future__ import annotations

import logging
import os
import resource

import pytest

from mail_proxy.kit.process_watch import DescriptorWatch, MemoryTrim, resident_bytes


def test_a_lack_of_descriptors_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    watch = DescriptorWatch(clock=lambda: now)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(2)
    os.close(lowest_free)
    assert not watch.look()
    caplog.set_level(logging.WARNING, "mail_proxy")
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 5, hard))
    try:
        assert [watch.look(), watch.look()] == [True, True]
        assert len(caplog.records) == 1
        now = 61.0
        assert watch.look()
        assert len(caplog.records) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not watch.look()


def test_memory_is_given_back_after_a_peak() -> None:
    trim = MemoryTrim()
    trim.trim()
    # Small enough to come from the C library's heap; the last one keeps the heap from shrinking.
    peak = [bytearray(2000) for _ in range(100_000)]
    assert trim.is_due()
    pin = peak.pop()
    peak.clear()
    before = resident_bytes()
    trim.trim()
    assert resident_bytes() < before - 100_000_000
    assert not trim.is_due()
    assert len(pin) == 2000


def test_a_trim_during_a_peak_is_not_the_last_one() -> None:
    trim = MemoryTrim()
    trim.trim()
    peak = [bytearray(2000) for _ in range(100_000)]
    trim.trim()
    assert not trim.is_due()
    pin = peak.pop()
    more = [bytearray(2000) for _ in range(20_000)]
    assert trim.is_due()
    trim.trim()
    assert not trim.is_due()
    peak.clear()
    before = resident_bytes()
    # What is free now is in the heap, so that the process is as large as before.
    assert before > 100_000_000
    more.clear()
    trim.trim()
    assert resident_bytes() < before - 100_000_000
    assert len(pin) == 2000
