"""Downloads of large files with the tokens of their links."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from mail_proxy.errors import NotFound
from mail_proxy.features.large_files.storage import LargeFileStorage

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
_NOT_IN_NAMES = re.compile(r'[^ -~]|["\\%]')
#: A browser shows nothing of the file, and the page of the link learns nothing about it.
_HEADERS = {
    "Accept-Ranges": "bytes",
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Content-Type": "application/octet-stream",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


@dataclass(frozen=True)
class Download:
    """Answer to a request for a file: 200, 206 with a part, or 416 without content."""

    status: int
    headers: Mapping[str, str]
    content: AsyncGenerator[bytes, None] | None


class Downloads:
    """Answers requests for files.

    ``range_`` and ``if_range`` are the headers of a request.
    """

    def __init__(self, files: LargeFileStorage) -> None:
        self._files = files

    async def get(self, token: str, range_: str | None, if_range: str | None) -> Download:
        """Return the answer for a token.

        Raises NotFound if the token is not valid or the file is gone, and StorageError.
        """
        row = await self._files.find(token)
        if row is None:
            raise NotFound("the link is not valid, or its time is over")
        tag = f'"{row["sha256"]}"'
        size = row["size"]
        headers = {
            **_HEADERS,
            "Content-Disposition": attachment_disposition(row["filename"]),
            "ETag": tag,
        }
        part = _part_of(range_, size) if if_range in (None, tag) else None
        if part == (0, 0):
            return Download(416, {**headers, "Content-Range": f"bytes */{size}"}, None)
        if not await self._files.is_whole(row):
            raise NotFound("the link is not valid, or its time is over")
        await self._files.downloaded(row)
        node = self._files.node(row)
        if part is None:
            return Download(200, {**headers, "Content-Length": str(size)}, node.pieces())
        start, end = part
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        headers["Content-Length"] = str(end - start)
        return Download(206, headers, node.pieces(start=start, end=end))


def attachment_disposition(filename: str) -> str:
    """Return a Content-Disposition (RFC 6266) that saves a file, whatever its name is."""
    plain = _NOT_IN_NAMES.sub("_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def _part_of(range_: str | None, size: int) -> tuple[int, int] | None:
    """Return start and end of the one part that a Range asks for.

    None for the whole file, also if several parts are asked for; (0, 0) if there is no such part.
    """
    found = _RANGE.fullmatch(range_.strip()) if range_ else None
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        length = min(int(found[2]), size)
        return (size - length, size) if length else (0, 0)
    start = int(found[1])
    end = min(int(found[2]) + 1, size) if found[2] else size
    if found[2] and int(found[2]) < start:
        return None
    return (start, end) if start < size else (0, 0)
