"""Value that declares the parts of the service that a feature adds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mail_proxy.config import ProxyConfig
from mail_proxy.delivery.pipeline import Slot, Step
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.service import Service
from mail_proxy.operations.audit_refusals import AuditedRefusals
from mail_proxy.operations.callers import Authenticator
from mail_proxy.operations.door import Door
from mail_proxy.operations.operation import Operation
from mail_proxy.operations.parts import Parts
from mail_proxy.operations.quotas import CallRates
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory, DirectoryPart
from mail_proxy.sql.table import Table
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.metrics import MailMetrics


@dataclass(frozen=True)
class Route:
    """A route of the REST interface that runs one operation.

    Fields of the operation's request that ``path`` names come from there. The others come from
    the query of a GET, else from the body; then ``path`` names none. The query can name the
    tenant. A second route of an operation is an alias, which the REST reference leaves out.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    operation: Operation[Any, Any]
    is_alias: bool = False


@dataclass(frozen=True)
class StepParts:
    """Parts of a process that delivers, from which features make their delivery steps."""

    directory: Directory
    clock: Clock
    config: ProxyConfig
    db: SqlDb
    tables: Tables
    metrics: MailMetrics


@dataclass(frozen=True)
class ListenerParts:
    """Parts of the service for a listener that takes calls, as REST does."""

    parts: Parts
    door: Door
    authenticator: Authenticator
    refusals: AuditedRefusals
    call_rates: CallRates


@dataclass(frozen=True)
class Feature:
    """An optional capability of the service; everything but ``name`` may be left out.

    ``tables`` are created by migrations. ``directory`` reads rows that every process keeps in
    memory; the result is ``snapshot.features[name]``. ``steps`` makes one delivery step for each
    named slot. ``service`` makes a part that starts and stops with the API process, ``listener``
    one that takes calls: it starts last and stops first.
    """

    name: str
    tables: tuple[type[Table], ...] = ()
    directory: DirectoryPart | None = None
    operations: tuple[Operation[Any, Any], ...] = ()
    routes: tuple[Route, ...] = ()
    service: Callable[[Parts], Service] | None = None
    listener: Callable[[ListenerParts], Service] | None = None
    steps: Mapping[Slot, Callable[[StepParts], Step]] = field(default_factory=dict)
