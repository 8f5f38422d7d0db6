"""Settings of the reporter: time limits, pace and batch size of report calls."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from mail_proxy.config import ClientSyncConfig, ProxyConfig
from mail_proxy.kit.liveness import process_mark, process_space
from mail_proxy.network.guard import NetworkGuard

_CALL_SECONDS = 30.0
_POLL_SECONDS = 1.0
#: Time for the transactions around a call, and for clocks of several hosts that differ.
_CLAIM_MARGIN_SECONDS = 15.0
#: Calls at once in this process. A tenant has one at most, so this counts tenants: it takes 500
#: that hang at the same moment to hold up another, and those back off after 30 seconds. Each
#: call costs a socket; with the usual limit of 1024 open files half remain for everything else.
_MOST_CALLS = 500


@dataclass(frozen=True)
class Terms:
    """Owner, lease and pace of the report calls to one tenant.

    ``owner`` is the ``process_mark`` in the claim of a tenant. ``claim_seconds`` must outlast a
    call and the transactions around it. ``chance`` returns random numbers from 0 to 1.
    ``logs_messages`` writes a log line for each acknowledged report.
    """

    owner: str
    claim_seconds: float
    interval_seconds: float
    batch_size: int
    chance: Callable[[], float] = random.random
    logs_messages: bool = False


@dataclass(frozen=True)
class ReporterSettings:
    """Settings of a ``ClientReporter``: terms with each tenant, and its own limits.

    ``fallback`` names the application of tenants without a URL. ``guard`` limits the addresses of
    those that tenants chose. ``delay_seconds`` collects the
    events of several commits before a call. ``poll_seconds`` is the time between two looks for
    due tenants and for events of other processes; None: no looks, calls on request only.
    ``call_seconds`` is the time limit of one call, ``most_calls`` the number of calls at once.
    """

    terms: Terms
    fallback: ClientSyncConfig
    guard: NetworkGuard
    delay_seconds: float
    poll_seconds: float | None
    call_seconds: float
    most_calls: int

    @classmethod
    def of(
        cls,
        config: ProxyConfig,
        instance_id: str,
        *,
        call_seconds: float = _CALL_SECONDS,
        poll_seconds: float = _POLL_SECONDS,
        most_calls: int = _MOST_CALLS,
    ) -> Self:
        """Return the settings for this process, named ``instance_id`` among all others.

        ``config.test_mode`` switches polling off.
        """
        return cls(
            terms=Terms(
                owner=process_mark(instance_id, process_space()),
                claim_seconds=call_seconds + _CLAIM_MARGIN_SECONDS,
                interval_seconds=config.timing.sync_interval,
                batch_size=config.queue.report_batch_size,
                logs_messages=config.log_delivery_activity,
            ),
            fallback=config.client_sync,
            guard=NetworkGuard.of(config),
            delay_seconds=config.timing.report_delay,
            poll_seconds=None if config.test_mode else poll_seconds,
            call_seconds=call_seconds,
            most_calls=most_calls,
        )
