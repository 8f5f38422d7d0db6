"""Attachments whose content is in the message, as base64."""

from __future__ import annotations

import binascii

from mail_proxy.attachments.fetching import Draft, FetchFailed, FetchRequest
from mail_proxy.domain.long_text import LongText, pieces_of
from mail_proxy.kit.side_thread import SideThread

#: Characters decoded at once: a multiple of four, and less than a millisecond.
_PIECE = 262_144


class Base64Fetcher:
    """Decodes the content, which was checked when the message was taken in."""

    def __init__(self, beside: SideThread) -> None:
        self._beside = beside

    async def fetch(self, request: FetchRequest, draft: Draft) -> None:
        text = request.attachment.path
        end = text if isinstance(text, str) else "".join(text.pieces[-2:])
        draft.expect(len(text) // 4 * 3 - end[-2:].count("="))
        if len(text) <= _PIECE:
            decode(text, draft)
        else:
            await self._beside.run(decode, text, draft)


def decode(text: str | LongText, draft: Draft) -> None:
    """Write the octets of a base64 text without blanks."""
    kept = ""
    try:
        for piece in pieces_of(text, _PIECE):
            characters = kept + piece
            end = len(characters) // 4 * 4
            kept = characters[end:]
            draft.write(binascii.a2b_base64(characters[:end]))
    except binascii.Error:
        raise FetchFailed("is not base64") from None
