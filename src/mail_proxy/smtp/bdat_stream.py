"""Mail transaction whose message is streamed in one BDAT chunk (RFC 3030)."""

from __future__ import annotations

from mail_proxy.domain.outcome import Deferred
from mail_proxy.smtp.bdat import UNKNOWN_COMMAND_CODES
from mail_proxy.smtp.body import ChunkBody
from mail_proxy.smtp.replies import Reply
from mail_proxy.smtp.transaction import Transaction


class StreamedBdatTransaction(Transaction):
    """BDAT transaction of a message with files.

    The message is sent once a recipient is accepted: the server asks for nothing in between.
    """

    _data_command = b""

    def _recipients_taken(self) -> bytes:
        message = self.envelope.message
        assert message.rest is not None, "a message in memory is sent in another way"
        command = b"BDAT %d LAST\r\n" % message.size
        self.envelope.dialogue.append(command)
        body = ChunkBody(message.data, message.rest.open(), message.size)
        return command + self._begin_message(body)

    def _answered_early(self, reply: Reply) -> bytes:
        if reply.code in UNKNOWN_COMMAND_CODES:
            return self._unknown(reply)
        return super()._answered_early(reply)

    def _end_answered(self, reply: Reply) -> bytes:
        if reply.code in UNKNOWN_COMMAND_CODES:
            return self._unknown(reply)
        return super()._end_answered(reply)

    def _unknown(self, reply: Reply) -> bytes:
        """End a session whose server has read the message as commands."""
        self.is_over = True
        self.broke_over = "chunking"
        return self._end(Deferred(f"BDAT refused: {reply}", reply.code), unread=0)
