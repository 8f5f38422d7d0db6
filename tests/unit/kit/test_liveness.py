"""Marks of processes: who made them, and whether it is known to have ended."""

from __future__ import annotations

import subprocess

import pytest

from mail_proxy.kit.liveness import has_ended, process_mark, process_space


def test_the_space_is_the_same_for_the_whole_process() -> None:
    assert process_space() == process_space()


def test_a_process_that_runs_has_not_ended() -> None:
    assert not has_ended(process_mark("me", "host boot 1"), "host boot 1")


def test_a_process_that_was_waited_for_has_ended() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert has_ended(f"it {process.pid} host boot 1", "host boot 1")
    assert not has_ended(f"it {process.pid} host boot 2", "host boot 1")


@pytest.mark.parametrize("text", ["", "me", "me 1", "me x host", "me -1 host", "me  host"])
def test_what_is_no_mark_is_left_alone(text: str) -> None:
    assert not has_ended(text, "host")
