"""Checks of the machine: disk, port, process, clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from mail_proxy.cli.control import why_not_ready
from mail_proxy.cli.doctor.finding import Finding, fault, good
from mail_proxy.cli.instance import Instance
from mail_proxy.cli.listening import open_socket
from mail_proxy.cli.process import Running
from mail_proxy.config import ProxyConfig
from mail_proxy.errors import MailProxyError
from mail_proxy.kit.free_disk import free_bytes
from mail_proxy.settings import LoadedConfig

#: Warn when free space is this many times the setting at which the intake stops.
_SOON = 2.0
_CLOCK_SECONDS = 60.0
#: No machine's clock is right before this program was made: 2026-01-01.
_EARLIEST = 1_767_225_600


def check_disk(instance: Instance, config: ProxyConfig) -> Iterator[Finding]:
    """Find a disk that is nearly full: of the folder, the SQLite file and the cache."""
    folders = [instance.folder, config.cache.cache_disk_dir]
    if "://" not in config.db_path:
        folders.append(Path(config.db_path).absolute().parent)
    least = config.queue.min_free_disk_mb
    disks: dict[int, Path] = {}
    for folder in folders:
        if folder is not None and folder.exists():
            disks.setdefault(folder.stat().st_dev, folder)
    for folder in disks.values():
        free = free_bytes(folder) / 1e6
        text = f"{free:.0f} MB are free"
        if free < least:
            hint = "make room; below min_free_disk_mb no new messages are taken"
            yield fault("disk", str(folder), f"{text}, fewer than {least:.0f}", hint)
        elif free < least * _SOON:
            hint = f"make room; below {least:.0f} MB (min_free_disk_mb) no new messages are taken"
            yield fault("disk", str(folder), text, hint)
        else:
            yield good("disk", str(folder), text)


def check_service(
    instance: Instance, running: Running | None, loaded: LoadedConfig
) -> Iterator[Finding]:
    """Find a service that died or is not ready, or a port that another program has."""
    name = instance.name
    if running is not None:
        reason = why_not_ready(running, loaded.config.scheduler_active)
        if reason:
            hint = f"see `mail-proxy {name} log`, and `mail-proxy status {name}`"
            yield fault("port", running.url, f"the service is not ready: {reason}", hint)
        else:
            yield good("port", running.url, f"the service is ready (pid {running.pid})")
        return
    if instance.has_died():
        hint = f"see `mail-proxy {name} log`, then `mail-proxy start {name} --background`"
        yield fault("port", name, "the service ended without being stopped", hint)
    place = f"{loaded.config.host}:{loaded.config.port}"
    try:
        open_socket(loaded).close()
    except MailProxyError as error:
        yield fault("port", place, error.message, "end the other program, or change the port")
    else:
        yield good("port", place, "free; the service is stopped")


def check_clock(newest_at: float | None, database_at: float | None) -> Iterator[Finding]:
    """Compare this machine's clock with the database server's, and with stored times.

    ``newest_at`` is the latest time in the database, ``database_at`` the time of its server now.
    """
    hint = "set the clock, and let it be kept right (chrony, systemd-timesyncd)"
    now = time.time()
    if now < _EARLIEST:
        yield fault("clock", "this machine", "it is years behind", hint)
    elif database_at is not None and abs(now - database_at) > _CLOCK_SECONDS:
        apart = now - database_at
        text = f"it differs from the database server's by {apart:.0f} s"
        yield fault("clock", "this machine", text, hint)
    elif newest_at is not None and newest_at > now + _CLOCK_SECONDS:
        text = f"the database has records from {newest_at - now:.0f} s in the future"
        yield fault("clock", "this machine", text, hint)
    else:
        yield good("clock", "this machine", time.strftime("%Y-%m-%d %H:%M:%S %z"))
