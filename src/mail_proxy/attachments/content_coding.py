"""Content-Encoding of HTTP answers: decompressed in pieces of bounded size."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator

from mail_proxy.attachments.fetching import FetchFailed

#: Of zlib, by Content-Encoding.
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_MOST_AT_ONCE = 262_144


async def decoded(pieces: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    """Yield the content of an answer; raises FetchFailed.

    The request asks for no compression, which not every server looks at.
    """
    if encoding in ("", "identity"):
        async for piece in pieces:
            yield piece
        return
    if encoding not in _WINDOWS:
        raise FetchFailed(f"the answer has the Content-Encoding {encoding[:40]}")
    stream = _Compressed(_WINDOWS[encoding])
    try:
        async for piece in pieces:
            for unpacked in stream.unpacked(piece):
                yield unpacked
                await asyncio.sleep(0)  # a small piece may be a large content
    except zlib.error:
        raise FetchFailed("the answer cannot be decompressed") from None
    if not stream.is_complete:
        raise FetchFailed("the compressed answer is not complete", is_temporary=True)


class _Compressed:
    """Compressed stream. One of gzip may have several members (RFC 1952 section 2.2)."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._member = zlib.decompressobj(window)

    @property
    def is_complete(self) -> bool:
        return self._member.eof

    def unpacked(self, piece: bytes) -> Iterator[bytes]:
        """Yield the octets of a piece; raises zlib.error."""
        while piece:
            if self._member.eof:
                self._member = zlib.decompressobj(self._window)
            unpacked = self._member.decompress(piece, _MOST_AT_ONCE)
            piece = self._member.unconsumed_tail or self._member.unused_data
            if unpacked:
                yield unpacked
