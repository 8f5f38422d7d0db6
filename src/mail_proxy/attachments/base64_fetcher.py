"""Attachments whose content is in the message, as base64."""

from __future__ import annotations

import binascii

from mail_proxy.attachments.fetching import Draft, FetchFailed, FetchRequest
from mail_proxy.kit.side_thread import SideThread

#: Characters decoded at once: a multiple of four, and less than a millisecond.
_PIECE = 262_144


class Base64Fetcher:
    """Decodes the content, which was checked when the message was taken in."""

    def __init__(self, beside: SideThread) -> None:
        self._beside = beside

    async def fetch(self, request: FetchRequest, draft: Draft) -> None:
        text = request.attachment.path
        draft.expect(len(text) // 4 * 3 - text[-2:].count("="))
        if len(text) <= _PIECE:
            decode(text, draft)
        else:
            await self._beside.run(decode, text, draft)


def decode(text: str, draft: Draft) -> None:
    """Write the octets of a base64 text without blanks."""
    try:
        for at in range(0, len(text), _PIECE):
            draft.write(binascii.a2b_base64(text[at : at + _PIECE]))
    except binascii.Error:
        raise FetchFailed("is not base64") from None
