"""Mails with large attachments, from a web server to a mail server, in bounded memory"""

from __future__ import annotations

import pytest
from tests.harness.made_files import SETTINGS, serving_files
from tests.harness.rig import small_rig

_MB = 1_000_000
#: Ten mails are in flight, and have 270 MB.
_BUDGET = 90 * _MB


@pytest.mark.slow
def test_large_attachments_take_little_memory() -> None:
    with serving_files() as web, small_rig(stall_seconds=120) as rig:
        sink = rig.recording_sink()
        with sink, rig.fresh_proxy(sink, settings=SETTINGS) as proxy:
            proxy.add_messages(web.batch(1, 1000), 1)
            rig.wait_accepted(proxy, sink, 1)
            before = proxy.usage().peak_rss_bytes
            proxy.add_messages(web.batch(12, 20 * _MB, prefix="large"), 12)
            rig.wait_accepted(proxy, sink, 13)
            grown = proxy.usage().peak_rss_bytes - before
    assert grown < _BUDGET, f"{grown / _MB:.0f} MB"


@pytest.mark.slow
def test_many_messages_with_one_file_fetch_it_once() -> None:
    with serving_files() as web, small_rig(stall_seconds=120) as rig:
        sink = rig.recording_sink()
        with sink, rig.fresh_proxy(sink, settings=SETTINGS) as proxy:
            proxy.add_messages(web.batch(1000, _MB, is_same=True), 1000)
            rig.wait_accepted(proxy, sink, 1000)
        assert len(web.calls) == 1
