"""Delivery step for large attachments: log them, refuse the mail, or send links."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from mail_proxy.delivery.pipeline import Outgoing, Step
from mail_proxy.domain.large_files import (
    FileLink,
    LargeFileConfig,
    LinkTexts,
    shown_size,
    with_links_in_html,
    with_links_in_text,
)
from mail_proxy.domain.long_text import LongText
from mail_proxy.domain.mail import Mail
from mail_proxy.domain.outcome import Deferred, Failed, Outcome
from mail_proxy.errors import StorageError
from mail_proxy.features.feature import StepParts
from mail_proxy.features.large_files.kept import kept_files
from mail_proxy.features.large_files.storage import LargeFileStorage
from mail_proxy.smtp.multipart import MailFile
from mail_proxy.telemetry.log import ServiceAction, log

AddLinks = Callable[[str, tuple[FileLink, ...], LinkTexts], str]
_MB = 1_000_000


def large_files_step(parts: StepParts) -> Step:
    """Return the delivery step for large attachments, by the rules of their tenant.

    Images inside an HTML text stay where they are. A mail of a tenant without rules costs a look
    at a field.
    """
    files = kept_files(parts.db, parts.tables, parts.directory, parts.config, parts.clock)

    def treat(outgoing: Outgoing) -> Outcome | Awaitable[Outcome | None] | None:
        rules = outgoing.tenant.large_files
        if rules is None or not outgoing.files:
            return None
        large = [each for each in outgoing.files if _is_large(each, rules)]
        if not large:
            return None
        if rules.action == "rewrite":
            return _rewrite(outgoing, files, rules)
        if rules.action == "reject":
            return _refused(large, rules)
        _warn(outgoing, large)
        return None

    return treat


def _is_large(file: MailFile, rules: LargeFileConfig) -> bool:
    return file.content.size > rules.most_bytes and file.place != "related"


def _refused(large: Sequence[MailFile], rules: LargeFileConfig) -> Failed:
    found = ", ".join(f"{each.filename!r} has {_exact(each.content.size)}" for each in large[:5])
    return Failed(f"attachment {found}; allowed: {_exact(rules.most_bytes)} (large_file_config)")


def _exact(octets: int) -> str:
    return f"{shown_size(octets)} ({octets} bytes)"


def _warn(outgoing: Outgoing, large: Sequence[MailFile]) -> None:
    for each in large:
        log(
            ServiceAction.FILE_LARGE,
            tenant_id=outgoing.tenant.id,
            message_id=outgoing.message.id,
            message_pk=outgoing.message.pk,
            megabytes=each.content.size / _MB,
        )


async def _rewrite(
    outgoing: Outgoing, files: LargeFileStorage, rules: LargeFileConfig
) -> Outcome | None:
    """Upload the large files, and put links to them into the body."""
    links: list[FileLink] = []
    left: list[MailFile] = []
    for each in outgoing.files or ():
        if not _is_large(each, rules):
            left.append(each)
            continue
        try:
            links.append(await files.keep(outgoing.tenant.id, rules, each.content, each.filename))
        except (StorageError, OSError) as error:
            reason = error.message if isinstance(error, StorageError) else error.strerror
            # Whatever it is, the administrator can mend it, and the mail then goes out.
            return Deferred(f"the large file {each.filename!r} cannot be uploaded: {reason}")
    # Not on the event loop: a body may have 25 MB.
    outgoing.mail = await asyncio.to_thread(_linked, outgoing.mail, tuple(links), rules)
    outgoing.files = left
    return None


def _linked(mail: Mail, links: tuple[FileLink, ...], rules: LargeFileConfig) -> Mail:
    """Return a mail with a list of links in each of its texts."""
    add = with_links_in_html if mail.content_type == "html" else with_links_in_text
    html = mail.body_html
    return replace(
        mail,
        body=_added(add, mail.body, links, rules),
        body_html=None if html is None else _added(with_links_in_html, html, links, rules),
    )


def _added(
    add: AddLinks, text: str | LongText, links: tuple[FileLink, ...], rules: LargeFileConfig
) -> str | LongText:
    """Add links to a text; of a long one only the end is looked at."""
    if isinstance(text, str):
        return add(text, links, rules.texts)
    tail = "".join(text.pieces[-2:])
    return LongText((*text.pieces[:-2], add(tail, links, rules.texts)))
