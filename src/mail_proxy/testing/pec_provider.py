"""Provider of Italian certified mail (PEC) on loopback, for tests and demos.

async with PecProvider() as provider:
    ...  # POST /account with provider.account()
    ...  # a message to mario@pec.example.org gets its receipts into the mailbox

The local part of a recipient decides which receipts come, also with a ``+`` and more behind it:
``unknown`` (no such mailbox), ``late`` (12 hours without delivery), ``virus``, ``relayed``,
``not-accepted`` (the message as a whole), ``silent`` (no receipt at all). All others are accepted
and delivered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from mail_proxy.testing.imap_server import ImapServer
from mail_proxy.testing.pec_receipts import PecReceipts
from mail_proxy.testing.smtp_server import AcceptedMail, ScriptedSmtpServer

_SILENT, _NOT_ACCEPTED = "silent", "not-accepted"
#: Receipts about one recipient: their types, and the code and text of an error.
_OUTCOMES: dict[str, tuple[tuple[str, str | None, str | None], ...]] = {
    "unknown": (("errore-consegna", "no-dest", "5.1.1 - indirizzo inesistente"),),
    "late": (("preavviso-errore-consegna", "altro", "messaggio non consegnato in 12 ore"),),
    "virus": (("rilevazione-virus", "virus", "contenuto pericoloso"),),
    "relayed": (("presa-in-carico", None, None), ("avvenuta-consegna", None, None)),
}
_DELIVERED = (("avvenuta-consegna", None, None),)


class PecProvider:
    """SMTP server ``smtp`` and IMAP server ``imap``, which run inside ``async with``.

    ``user`` is the address of the sender's mailbox, ``password`` opens it and SMTP. ``receipts``
    writes the receipts; its ``authority`` is for the setting ``pec_ca_file``.
    """

    user, password = "shop@pec.example.com", "the-pec-password"

    def __init__(self) -> None:
        self.smtp = ScriptedSmtpServer(users={self.user: self.password})
        self.imap = ImapServer({self.user: self.password})
        self.receipts = PecReceipts()
        self._stack = AsyncExitStack()
        self._working: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.smtp)
        await self._stack.enter_async_context(self.imap)
        self._working = asyncio.create_task(self._answer())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._working is not None
        self._working.cancel()
        await asyncio.gather(self._working, return_exceptions=True)
        await self._stack.aclose()

    def account(self, id_: str = "pec") -> dict[str, Any]:
        """Return the body of ``POST /account`` for this provider."""
        return {
            "id": id_,
            "host": self.smtp.host,
            "port": self.smtp.port,
            "tls": "none",
            "user": self.user,
            "password": self.password,
            "is_pec_account": True,
            "imap_host": self.imap.host,
            "imap_port": self.imap.port,
        }

    async def _answer(self) -> None:
        done = 0
        while True:
            accepted = await self.smtp.received(done + 1)
            for mail in accepted[done:]:
                for receipt in self._receipts(mail):
                    self.imap.append(self.user, receipt)
            done = len(accepted)

    def _receipts(self, mail: AcceptedMail) -> Iterator[bytes]:
        names = {each: _name(each) for each in mail.recipients}
        if _SILENT in names.values():
            return
        everyone = list(mail.recipients)
        if _NOT_ACCEPTED in names.values():
            yield self.receipts.about(
                mail.data,
                "non-accettazione",
                recipients=everyone,
                error="altro",
                reason="il messaggio non supera i controlli formali",
            )
            return
        yield self.receipts.about(mail.data, "accettazione", recipients=everyone)
        for recipient, name in names.items():
            for kind, error, reason in _OUTCOMES.get(name, _DELIVERED):
                yield self.receipts.about(
                    mail.data,
                    kind,
                    recipient=recipient,
                    recipients=everyone,
                    error=error,
                    reason=reason,
                )


def _name(recipient: str) -> str:
    return recipient.partition("@")[0].partition("+")[0].lower()
