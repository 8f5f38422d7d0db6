"""Dot-stuffed message after DATA (RFC 5321 section 4.5.2), in parts."""

from __future__ import annotations

#: Octets handed to the transport at once: large enough to be cheap, small enough to notice in
#: time that the server has refused or stopped reading.
_PART_OCTETS = 65536


class Body:
    """Gives a message part by part, and the final dot with the last one."""

    __slots__ = ("_at", "_data", "is_complete")

    def __init__(self, data: bytes | bytearray) -> None:
        self.is_complete = False
        self._data = data
        self._at = 0

    def next(self) -> bytes:
        """Return the next part to write."""
        data, start = self._data, self._at
        end = start + _PART_OCTETS
        is_line_start = start == 0 or data[start - 2 : start] == b"\r\n"
        if end < len(data):
            end -= data[end - 1 : end] == b"\r"  # CRLF stays in one part
            self._at = end
            return _stuffed(bytes(data[start:end]), is_line_start)
        self.is_complete = True
        tail = b".\r\n" if data.endswith(b"\r\n") else b"\r\n.\r\n"
        return _stuffed(bytes(data[start:]), is_line_start) + tail


def _stuffed(part: bytes, is_line_start: bool) -> bytes:
    stuffed = part.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if is_line_start and part.startswith(b".") else stuffed
