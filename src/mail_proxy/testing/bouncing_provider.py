"""Mail provider on loopback whose recipients bounce, complain and answer.

async with BouncingProvider() as provider:
    ...  # an account with provider.smtp.host, provider.smtp.port
    ...  # the bounce mailbox with provider.bounce_mailbox()
    ...  # a message to unknown@example.net comes back into the mailbox

The local part of a recipient decides, also with a ``+`` and more behind it: ``unknown``, ``full``,
``spam``, ``late``, ``plain``, ``complaint``, ``answer``, ``vacation``. All others get their mail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from mail_proxy.testing.imap_server import ImapServer
from mail_proxy.testing.returned_mails import (
    answer,
    complaint,
    delivery_report,
    text_bounce,
    vacation_note,
)
from mail_proxy.testing.smtp_server import AcceptedMail, ScriptedSmtpServer

#: Returns the mail that comes back about a mail to a recipient.
Reaction = Callable[[bytes, str], bytes]

REACTIONS: dict[str, Reaction] = {
    "unknown": lambda sent, to: delivery_report(sent, to, "5.1.1", "550 5.1.1 User unknown"),
    "full": lambda sent, to: delivery_report(sent, to, "4.2.2", "452 4.2.2 Mailbox full"),
    "spam": lambda sent, to: delivery_report(sent, to, "5.7.1", "554 5.7.1 Rejected as spam"),
    "late": lambda sent, to: delivery_report(
        sent, to, "4.4.1", "connect to mx.example.net: timed out", action="delayed"
    ),
    "plain": lambda sent, to: text_bounce(sent, to, "550 no such user here"),
    "complaint": complaint,
    "answer": answer,
    "vacation": vacation_note,
}


class BouncingProvider:
    """SMTP server ``smtp`` and IMAP server ``imap``, which run inside ``async with``.

    ``reactions`` are those of local parts; more can be added. A mail with a null reverse-path
    never comes back. ``user`` and ``password`` are those of the mailbox.
    """

    user, password = "bounces@example.org", "bounces"

    def __init__(self) -> None:
        self.smtp = ScriptedSmtpServer()
        self.imap = ImapServer({self.user: self.password})
        self.reactions = dict(REACTIONS)
        self._stack = AsyncExitStack()
        self._working: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.smtp)
        await self._stack.enter_async_context(self.imap)
        self._working = asyncio.create_task(self._react())
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

    def bounce_mailbox(self) -> dict[str, Any]:
        """Return the body of ``PUT /instance/bounce`` for this provider."""
        return {
            "enabled": True,
            "imap_host": self.imap.host,
            "imap_port": self.imap.port,
            "imap_user": self.user,
            "imap_password": self.password,
            "imap_tls": "none",
            "return_path": self.user,
            "detect_replies": True,
        }

    async def _react(self) -> None:
        done = 0
        while True:
            accepted = await self.smtp.received(done + 1)
            for mail in accepted[done:]:
                self._put_back(mail)
            done = len(accepted)

    def _put_back(self, mail: AcceptedMail) -> None:
        if not mail.mail_from:
            return
        for recipient in mail.recipients:
            name = recipient.partition("@")[0].partition("+")[0].lower()
            react = self.reactions.get(name)
            if react is not None:
                self.imap.append(self.user, react(mail.data, recipient))
