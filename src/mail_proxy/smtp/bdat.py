"""A mail transaction in one packet: MAIL, RCPT, BDAT and the message (RFC 3030)."""

from __future__ import annotations

from mail_proxy.domain.outcome import Deferred, Outcome, RecipientResult, RecipientStatus
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.protocol import BrokenConnectionError
from mail_proxy.smtp.replies import (
    CLOSING_CODE,
    OUT_OF_ORDER_CODE,
    Reply,
    Stage,
    Verdict,
    all_refused,
    recipient_result,
    sent,
    verdict,
)
from mail_proxy.smtp.transaction import Stale, Transaction

#: What a server says to BDAT that offers CHUNKING and does not know it.
_UNKNOWN_COMMAND_CODES = (500, 502, 504, OUT_OF_ORDER_CODE)


class BdatTransaction(Transaction):
    """The server has the whole message before it has said a word, and may take it whatever it
    says on the way. So all replies are read before any is judged, and without the last one the
    outcome is uncertain, unless those before it rule the message out."""

    _phase = "data"

    async def _converse(self, commands: list[bytes], message: ComposedMail) -> Outcome | Stale:
        data = message.data if message.data.endswith(b"\r\n") else message.data + b"\r\n"
        self._protocol.expect(len(commands) + 1)
        self._protocol.write(b"".join([*commands, b"BDAT %d LAST\r\n" % len(data), data]))
        self._stage = Stage.END_OF_DATA
        replies: list[Reply] = []
        try:
            while len(replies) < len(commands):
                replies.append(await self._protocol.reply(self._timeouts.command, self._deadline))
            last = await self._protocol.reply(self._timeouts.end_of_data, self._deadline)
        except BrokenConnectionError:
            ruled_out = self._ruled_out(replies, is_lost=True)
            if ruled_out is None:
                raise
            self.is_over = True
            return ruled_out
        ruled_out = self._ruled_out(replies, is_lost=False)
        if ruled_out is None:
            return self._end(last)
        if verdict(Stage.END_OF_DATA, last) is Verdict.ACCEPTED:
            self.is_over = True  # it took a message without sender or recipients
        return ruled_out

    def _ruled_out(self, replies: list[Reply], *, is_lost: bool) -> Outcome | Stale | None:
        """The outcome if ``replies``, to MAIL and to RCPT, leave nobody to take the message for.

        ``is_lost``: nothing more was said.
        """
        if not replies:
            return None
        mail, *others = replies
        if verdict(Stage.MAIL, mail) is not Verdict.ACCEPTED:
            if mail.code == CLOSING_CODE and self._is_reused:
                self.is_over = True
                return Stale(str(mail))
            return self._message_refused(Stage.MAIL, mail)
        for address, reply in zip(self._recipients, others, strict=False):
            if verdict(Stage.RCPT, reply) is Verdict.UNEXPECTED:
                raise BrokenConnectionError(f"unexpected reply: {reply}")
            self._results.append(recipient_result(address, reply))
        closing = next((reply for reply in others if reply.code == CLOSING_CODE), None)
        if is_lost and closing is not None:
            rest = self._recipients[len(self._results) :]
            self._results += [recipient_result(address, closing) for address in rest]
            return self._message_refused(Stage.RCPT, closing)
        if len(self._results) < len(self._recipients) or _is_any_sent(self._results):
            return None
        for reply in others:
            if verdict(Stage.RCPT, reply) is Verdict.ACCOUNT:
                return self._message_refused(Stage.RCPT, reply)
        return all_refused(self._results)

    def _end(self, last: Reply) -> Outcome:
        if verdict(Stage.END_OF_DATA, last) is Verdict.ACCEPTED:
            self.is_settled = True
            return sent(self._results, last)
        if last.code in _UNKNOWN_COMMAND_CODES:
            # It has read the message as commands, so there is no telling where it is now.
            self.is_over = True
            self.broke_over = "chunking"
            return Deferred(f"BDAT refused: {last}", last.code)
        return self._message_refused(Stage.END_OF_DATA, last)

    def _broken(self, reason: str) -> Outcome | Stale:
        if self._stage is Stage.END_OF_DATA:
            self.broke_over = "chunking"
            rest = self._recipients[len(self._results) :]
            self._results += [
                RecipientResult(address, RecipientStatus.DEFERRED, None, reason) for address in rest
            ]
        return super()._broken(reason)


def _is_any_sent(results: list[RecipientResult]) -> bool:
    return any(result.status is RecipientStatus.SENT for result in results)
