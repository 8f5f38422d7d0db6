"""Generates the reference of Python classes from their docstrings and signatures."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from importlib import import_module
from typing import Any

from pydantic import BaseModel

from mail_proxy.client import MailProxyClient
from reference_pages.markdown import code, table

#: Public names by the module to import them from, under a title each.
PLACES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "The service": {
        "mail_proxy": ("MailProxy", "ProxyConfig"),
        "mail_proxy.server": ("create_app",),
        "mail_proxy.config": (
            "TimingConfig",
            "QueueConfig",
            "ConcurrencyConfig",
            "RetryConfig",
            "CacheConfig",
            "ClientSyncConfig",
        ),
    },
    "Client library": {"mail_proxy.client": ("MailProxyClient", "AsyncMailProxyClient")},
    "Sending": {
        "mail_proxy.smtp.sender": ("SmtpSender",),
        "mail_proxy.smtp.pool": ("SMTPPool",),
        "mail_proxy.smtp.connection": ("PooledConnection",),
        "mail_proxy.delivery.limiter": ("RateLimiter",),
        "mail_proxy.domain.retry": ("RetryStrategy",),
    },
    "Attachments": {
        "mail_proxy.attachments.manager": ("AttachmentManager",),
        "mail_proxy.attachments.base64_fetcher": ("Base64Fetcher",),
        "mail_proxy.attachments.http_fetcher": ("HttpFetcher",),
        "mail_proxy.attachments.storage_fetcher": ("StorageFetcher",),
        "mail_proxy.attachments.cache": ("TieredCache",),
        "mail_proxy.attachments.memory_cache": ("MemoryCache",),
        "mail_proxy.attachments.disk_cache": ("DiskCache",),
        "mail_proxy.features.large_files.storage": ("LargeFileStorage",),
    },
    "Reports, bounces, receipts": {
        "mail_proxy.reporting.reporter": ("ClientReporter",),
        "mail_proxy.inbound.bounces.parser": ("BounceParser",),
        "mail_proxy.inbound.bounces.info": ("BounceInfo",),
        "mail_proxy.features.bounces.receiver": ("BounceReceiver",),
        "mail_proxy.features.bounces.table": ("BounceConfig",),
        "mail_proxy.inbound.pec.receipt": ("PecReceiptParser", "PecReceiptInfo"),
        "mail_proxy.features.pec.receiver": ("PecReceiver",),
        "mail_proxy.imap": ("IMAPClient", "IMAPMessage"),
        "mail_proxy.telemetry.metrics": ("MailMetrics",),
    },
    "Database": {
        "mail_proxy.sql": (
            "SqlDb",
            "Table",
            "Column",
            "Columns",
            "RecordUpdater",
            "SqliteAdapter",
            "PostgresAdapter",
        ),
        "mail_proxy.sql.tables.tenants": ("TenantsTable",),
        "mail_proxy.sql.tables.accounts": ("AccountsTable",),
        "mail_proxy.sql.messages.insert": ("MessagesTable",),
        "mail_proxy.sql.messages.events": ("MessageEventTable",),
        "mail_proxy.sql.tables.instance": ("InstanceTable",),
        "mail_proxy.sql.tables.command_log": ("CommandLogTable",),
        "mail_proxy.features.storages.table": ("StoragesTable",),
    },
}
_LITERAL = re.compile(r"``([^`]+)``")


def render() -> str:
    """Return one section for each title, with one part for each name."""
    parts: list[str] = []
    for title, modules in PLACES.items():
        parts.append(f"## {title}")
        for module, names in modules.items():
            for name in names:
                parts += _described(module, name)
    return "\n\n".join(parts)


def _described(module: str, name: str) -> Iterator[str]:
    found = getattr(import_module(module), name)
    yield f"### {code(name)}"
    yield code(f"from {module} import {name}")
    if not found.__module__.startswith("mail_proxy."):
        yield f"The class of SQLAlchemy, {code(f'{found.__module__}.{found.__qualname__}')}."
        return
    yield _prose(inspect.getdoc(found) or "")
    if inspect.isfunction(found):
        yield code(f"{name}{_signature(found)}")
    elif issubclass(found, BaseModel):
        yield "Its fields are [settings](settings.md)."
    elif rows := [*_members(found)]:
        yield table(["Member", "Meaning"], rows)
    if found is MailProxyClient:
        yield table(["Call", "Meaning"], _calls())


def _calls() -> Iterator[tuple[str, str]]:
    """Yield the calls of the client library; both clients have them."""
    with MailProxyClient("http://localhost") as client:
        for group_name, group in vars(client).items():
            for name in () if group_name.startswith("_") else vars(type(group)):
                if not name.startswith("_"):
                    call = getattr(group, name)
                    yield code(f"{group_name}.{name}{_signature(call)}"), _first_line(call)


def _members(found: type) -> Iterator[tuple[str, str]]:
    """Yield fields of a data class, then the public methods and properties."""
    if dataclasses.is_dataclass(found):
        for field in dataclasses.fields(found):
            if not field.name.startswith("_"):
                yield code(field.name), code(_type(field.type))
    for name, member in vars(found).items():
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if name.startswith("_") or isinstance(member, Enum):
            continue
        if inspect.isfunction(function):
            prefix = "await " if inspect.iscoroutinefunction(function) else ""
            shown = f"{prefix}{name}{_signature(function)}"
            yield code(shown), _first_line(function)
        elif isinstance(member, property):
            yield code(name), _first_line(member)


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    return str(
        signature.replace(
            parameters=[p.replace(annotation=inspect.Parameter.empty) for p in own],
            return_annotation=inspect.Signature.empty,
        )
    )


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else annotation.__name__


def _first_line(member: Any) -> str:
    return _prose((inspect.getdoc(member) or "").partition("\n")[0])


def _prose(text: str) -> str:
    return _LITERAL.sub(r"`\1`", text)
