"""Registry of all operations of the core.

Door, ``handle_command``, replay and tests read this list.
"""

from __future__ import annotations

from typing import Any

from mail_proxy.operations import (
    account_tests,
    accounts,
    command_log,
    instance,
    intake,
    messages,
    replay,
    service,
    stats,
    suspension,
    sync_log,
    tenants,
)
from mail_proxy.operations.operation import Operation

OPERATIONS: tuple[Operation[Any, Any], ...] = (
    *service.ALL,
    *stats.ALL,
    *intake.ALL,
    *messages.ALL,
    *suspension.ALL,
    *accounts.ALL,
    *account_tests.ALL,
    *tenants.ALL,
    *sync_log.ALL,
    *instance.ALL,
    *command_log.ALL,
    *replay.ALL,
)
