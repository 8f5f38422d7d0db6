"""Delivery steps: fetch attachments, and refuse mails that are too large."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from pathlib import Path

import orjson

from mail_proxy.attachments.base64_fetcher import Base64Fetcher
from mail_proxy.attachments.cache import TieredCache
from mail_proxy.attachments.fetching import FetchFailed, FetchRequest, in_mb
from mail_proxy.attachments.file_fetcher import FileFetcher
from mail_proxy.attachments.http_fetcher import HttpFetcher
from mail_proxy.attachments.manager import AttachmentManager
from mail_proxy.attachments.memory_budget import MemoryBudget
from mail_proxy.attachments.spool import Spool
from mail_proxy.attachments.storage_fetcher import Mounts, StorageFetcher
from mail_proxy.config import ProxyConfig
from mail_proxy.delivery.pipeline import Outgoing, Step
from mail_proxy.domain.attachment import Attachment, FetchMode, names_mount
from mail_proxy.domain.outcome import Deferred, Failed, Outcome
from mail_proxy.domain.tenant import ClientAuth
from mail_proxy.errors import EncryptionError
from mail_proxy.features.attachments.files import mail_file, mime_type_of, reads_content
from mail_proxy.features.attachments.mounts import TenantMounts
from mail_proxy.features.attachments.raw import set_raw
from mail_proxy.features.feature import StepParts
from mail_proxy.kit.side_thread import SideThread
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.smtp.multipart import MailFile
from mail_proxy.sql.messages.envelope import set_envelope

_MB = 1_000_000


def fetching_step(parts: StepParts) -> Step:
    """Return the delivery step that fetches the attachments of a mail.

    A mail without attachments costs two looks at fields.
    """
    mounts = TenantMounts.of(parts)
    files = _Files(parts, manager_of(parts, mounts), mounts)

    def fetch(outgoing: Outgoing) -> Awaitable[Outcome | None] | None:
        stored = outgoing.stored
        assert stored is not None, "the step `load` comes first"
        if stored.composed is not None or not stored.has_attachments:
            return None
        return files.fetch(outgoing)

    return fetch


def size_step(parts: StepParts) -> Step:
    """Return the delivery step that refuses mails larger than ``max_message_mb``."""
    most = int(parts.config.attachments.max_message_mb * _MB)

    def check(outgoing: Outgoing) -> Outcome | None:
        composed = outgoing.composed
        assert composed is not None, "the step `compose` comes first"
        size = composed.size
        if size <= most:
            return None
        return Failed(f"the mail has {in_mb(size)}; allowed: {in_mb(most)} (max_message_mb)")

    return check


def manager_of(parts: StepParts, mounts: Mounts) -> AttachmentManager:
    """Return the manager of attachments that the settings describe."""
    config, clock = parts.config, parts.clock
    settings = config.attachments
    spool = Spool(_spool_folder(config))
    most = int(settings.max_attachment_mb * _MB)
    most_large = max(most, int(settings.max_large_file_mb * _MB))
    beside = SideThread("attachments")
    http = HttpFetcher(
        NetworkGuard.of_attachments(config),
        NetworkGuard.of(config),
        settings.attachment_base_url,
        max(most_large, int(settings.max_message_mb * _MB)),
        beside,
    )
    # A folder of another machine may not answer; the thread then waits for it alone.
    on_disk = FileFetcher(settings.attachment_roots, settings.base_dir, SideThread("files"))
    return AttachmentManager(
        {
            FetchMode.BASE64: Base64Fetcher(beside),
            FetchMode.HTTP_URL: http,
            FetchMode.ENDPOINT: http,
            FetchMode.FILESYSTEM: on_disk,
            FetchMode.STORAGE: StorageFetcher(mounts, beside),
        },
        TieredCache.of(config.cache, spool, clock, parts.metrics),
        spool,
        MemoryBudget(int(settings.attachment_memory_mb * _MB)),
        clock,
        most_octets=most,
        most_large_octets=most_large,
        most_at_once=settings.max_concurrent_attachments,
        timeout_seconds=settings.attachment_timeout,
        source_seconds=config.cache.cache_memory_ttl,
        beside=beside,
    )


def _spool_folder(config: ProxyConfig) -> Path:
    folder = config.cache.cache_disk_dir
    if folder is not None:
        return folder / "spool"
    return Path(tempfile.gettempdir()) / f"mail-proxy-{os.geteuid()}"


class _Files:
    """Fetches all attachments of a mail, and makes files of them."""

    def __init__(self, parts: StepParts, manager: AttachmentManager, mounts: Mounts) -> None:
        self._beside = SideThread("raw messages")
        self._db = parts.db
        self._most_of_raw = int(parts.config.attachments.max_message_mb * _MB)
        self._manager = manager
        self._mounts = mounts
        self._logins = parts.tables.attachment_logins

    async def fetch(self, outgoing: Outgoing) -> Outcome | None:
        """Set the files of a mail; return the outcome if one cannot be fetched."""
        attachments = outgoing.mail.attachments
        if outgoing.mail.content_type == "raw":
            return await self._fetch_whole(outgoing, attachments[0])
        found = await asyncio.gather(
            *(self._file(outgoing, each) for each in attachments), return_exceptions=True
        )
        files: list[MailFile] = []
        failures: list[tuple[Attachment, FetchFailed]] = []
        for attachment, result in zip(attachments, found, strict=True):
            if isinstance(result, FetchFailed):
                failures.append((attachment, result))
            elif isinstance(result, BaseException):
                raise result
            else:
                files.append(result)
        outgoing.files = files
        return _outcome(failures)

    async def _fetch_whole(self, outgoing: Outgoing, attachment: Attachment) -> Outcome | None:
        """Set a raw message that is fetched before it is sent."""
        message, has_recipients = outgoing.message, bool(outgoing.recipients)
        request = replace(self._request(outgoing, attachment), most_octets=self._most_of_raw)
        try:
            content = await self._manager.content(request)
            outcome = await self._beside.run(set_raw, outgoing, content)
        except FetchFailed as failure:
            kind = Deferred if failure.is_temporary else Failed
            return kind(f"raw message: {failure}")
        if outcome is None and not has_recipients:
            mail = outgoing.mail
            await self._db.write(set_envelope, message.pk, mail.recipients, mail.subject)
        return outcome

    async def _file(self, outgoing: Outgoing, attachment: Attachment) -> MailFile:
        request = self._request(outgoing, attachment)
        content = await self._manager.content(request)
        mime_type = mime_type_of(attachment)
        if not reads_content(mime_type):
            return mail_file(attachment, mime_type, content)
        try:
            return await asyncio.to_thread(mail_file, attachment, mime_type, content)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise FetchFailed(f"cannot be read: {reason}", is_temporary=True) from error

    def _request(self, outgoing: Outgoing, attachment: Attachment) -> FetchRequest:
        tenant, message = outgoing.tenant, outgoing.message
        if attachment.mode is None:
            mount = attachment.reference.partition(":")[0]
            is_stored = names_mount(attachment.reference) and self._mounts.has(tenant.id, mount)
            mode = FetchMode.STORAGE if is_stored else FetchMode.ENDPOINT
            attachment = replace(attachment, mode=mode)
        if attachment.auth is None:
            return FetchRequest(tenant, attachment)
        try:
            login = self._logins.opened(attachment.auth, tenant.id, message.id)
        except EncryptionError:
            raise FetchFailed("its login cannot be decrypted", is_temporary=True) from None
        return FetchRequest(tenant, attachment, ClientAuth.from_record(orjson.loads(login)))


def _outcome(failures: Sequence[tuple[Attachment, FetchFailed]]) -> Outcome | None:
    """Return the outcome of a mail; one attachment that fails for good decides."""
    if not failures:
        return None
    attachment, failure = min(failures, key=lambda each: each[1].is_temporary)
    kind = Deferred if failure.is_temporary else Failed
    return kind(f"attachment {attachment.filename!r}: {failure}")
