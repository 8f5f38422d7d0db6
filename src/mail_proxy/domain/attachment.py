"""Attachments of a mail, as validated at intake and fetched at each attempt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from mail_proxy.domain.long_text import LongText

Disposition = Literal["attachment", "inline"]
#: Marker in a file name that declares the MD5 of the content, with the character that joins it.
_MD5_MARKER = re.compile(r"[ _-]?\{MD5:([0-9a-fA-F]{32})\}", re.IGNORECASE)
_MOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}:.", re.DOTALL)
BASE64_PREFIX = "base64:"


class FetchMode(StrEnum):
    """Ways to get the content of an attachment."""

    BASE64 = "base64"
    HTTP_URL = "http_url"
    FILESYSTEM = "filesystem"
    STORAGE = "storage"
    ENDPOINT = "endpoint"


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment of a mail: its name, and the place of its content.

    ``path`` is the base64 text itself for the mode base64, else what the client has given as
    ``storage_path``. ``mode`` is None if it depends on the storages that the tenant has when the
    content is fetched: storage or endpoint. ``auth`` is the sealed JSON text of a login.
    ``content_id`` has no angle brackets. ``md5`` has 32 lower-case hexadecimal digits.
    """

    filename: str
    path: str | LongText
    mode: FetchMode | None = None
    mime_type: str | None = None
    md5: str | None = None
    auth: str | None = None
    content_id: str | None = None
    disposition: Disposition | None = None

    @property
    def reference(self) -> str:
        """The path of a mode other than base64."""
        assert isinstance(self.path, str), "only base64 may be long"
        return self.path


def inferred_mode(path: str) -> FetchMode | None:
    """Return the mode of a ``storage_path``; None if the tenant's storages decide."""
    lower = path[:8].lower()
    if lower.startswith(BASE64_PREFIX):
        return FetchMode.BASE64
    if lower.startswith(("http://", "https://")):
        return FetchMode.HTTP_URL
    if path.startswith("/"):
        return FetchMode.FILESYSTEM
    return None if names_mount(path) else FetchMode.ENDPOINT


def names_mount(path: str) -> bool:
    """Return whether a path has the form ``<mount>:<path>``."""
    return _MOUNT.match(path) is not None


def without_md5(filename: str) -> tuple[str, str | None]:
    """Return a file name without its MD5 marker, and the MD5 of the marker.

    ``report_{MD5:<32 hex>}.pdf`` is ``report.pdf``.
    """
    found = _MD5_MARKER.search(filename)
    if found is None:
        return filename, None
    return filename[: found.start()] + filename[found.end() :], found[1].lower()
