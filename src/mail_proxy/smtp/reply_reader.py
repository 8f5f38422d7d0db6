"""Reads SMTP replies out of the bytes that a server sends (RFC 5321 section 4.2)."""

from __future__ import annotations

from mail_proxy.smtp.redact import Redact
from mail_proxy.smtp.replies import Reply, one_line

#: RFC 5321 section 4.5.3.1.5 allows a reply line 512 octets and any number of lines.
_MAX_REPLY_OCTETS = 16384
#: Reply lines of up to so many octets are worth remembering, because a server repeats itself.
_COMMON_LINE_OCTETS = 128
_MOST_COMMON_LINES = 64


class ReplyReader:
    """Parser that splits bytes, in pieces of any size, into bounded SMTP replies.

    ``fault`` says why the bytes are no SMTP replies; nothing can be read after that.
    """

    __slots__ = ("_common", "_lines", "_octets", "_redact", "_rest", "fault")

    def __init__(self, redact: Redact = str) -> None:
        """``redact`` removes the account's secrets from the server's words."""
        self.fault: str | None = None
        self._redact = redact
        self._rest = b""
        self._lines: list[bytes] = []
        self._octets = 0
        self._common: dict[bytes, Reply] = {}

    @property
    def is_between_replies(self) -> bool:
        """True if no part of a reply has arrived yet."""
        return not self._rest and not self._lines

    def feed(self, data: bytes) -> list[Reply]:
        """Return the replies that ``data`` completes, up to the first fault."""
        lines = (self._rest + data).split(b"\n") if self._rest else data.split(b"\n")
        self._rest = lines.pop()
        replies: list[Reply] = []
        for line in lines:
            reply = None if self._lines else self._common.get(line)
            if reply is None:
                reply = self._line_received(line)
                if self.fault is not None:
                    return replies
            if reply is not None:
                replies.append(reply)
        if len(self._rest) > _MAX_REPLY_OCTETS:
            self.fault = "the server sent an endless reply"
        return replies

    def _line_received(self, line: bytes) -> Reply | None:
        code, separator = line[:3], line[3:4]
        if (
            separator == b" "
            and not self._lines
            and _is_code(code)
            and len(line) < _MAX_REPLY_OCTETS
        ):
            return self._remember(line, Reply(int(code), one_line(self._text(line[4:]))))
        if not (_is_code(code) and separator in b" -\r"):
            # Not quoted: it may be the banner of another service inside the network.
            self.fault = "not an SMTP reply"
            return None
        self._octets += len(line) + 1
        if self._octets > _MAX_REPLY_OCTETS:
            self.fault = "the server sent an endless reply"
            return None
        self._lines.append(line[4:])
        return None if separator == b"-" else self._complete(int(code), line)

    def _complete(self, code: int, last: bytes) -> Reply:
        texts = tuple([self._text(line) for line in self._lines])
        self._lines = []
        self._octets = 0
        if len(texts) > 1:
            return Reply(code, one_line(" ".join(texts)), texts)
        return self._remember(last, Reply(code, one_line(texts[0])))

    def _remember(self, line: bytes, reply: Reply) -> Reply:
        if len(line) <= _COMMON_LINE_OCTETS:
            if len(self._common) >= _MOST_COMMON_LINES:
                self._common.clear()
            self._common[line] = reply
        return reply

    def _text(self, line: bytes) -> str:
        return self._redact(line.decode("utf-8", "replace").strip())


def _is_code(code: bytes) -> bool:
    return code.isdigit() and b"200" <= code < b"600"
