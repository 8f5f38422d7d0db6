"""Watch one mailbox: read new mails, handle each once, keep how far it is read."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.imap import IMAPClient, ImapLogin, ImapTrouble, Mailbox
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.liveness import has_ended, process_space
from mail_proxy.kit.side_thread import SideThread
from mail_proxy.kit.worker import value_of
from mail_proxy.network.access_tokens import TokenSource
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.tables.claims import ClaimsTable
from mail_proxy.sql.tables.mailboxes import MailboxesTable, Progress
from mail_proxy.telemetry.log import Action, log
from mail_proxy.telemetry.troubles import Troubles

#: Mails that are read, stored in one transaction, and then settled in the mailbox together.
_BATCH = 25
_BATCH_OCTETS = 20_000_000
#: Mails whose header is looked at together.
_LOOKED_AT = 1000
_CLAIM_SECONDS = 120.0
#: A claim is renewed after each batch and each wait.
_LONGEST_WAIT_SECONDS = 60.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 300.0
_PARSING = SideThread("inbound")
_MOVE = "move:"


class Handler(Protocol):
    """Reader of the mails of one mailbox."""

    def read(self, octets: bytes) -> Any:
        """Return the meaning of a mail, or None to leave it; on a side thread."""

    async def prepare(self, found: Any) -> None:
        """Do what is slow before the transaction, such as writing files."""

    def store(self, connection: Connection, found: Any, now: float) -> bool:
        """Store what a mail says, in the transaction that notes the mail as handled.

        Return False to leave the mail, which is about nothing that is here.
        """

    def stays(self, found: Any) -> bool:
        """Return True for a mail that stays in the mailbox, marked as seen."""

    def stored(self, found: Sequence[Any]) -> None:
        """Publish facts about what was stored, after the commit."""


@dataclass(frozen=True)
class WatchedMailbox:
    """Mailbox to watch: ``name`` is that of the claim and of the progress.

    ``after_processing`` is ``delete``, ``seen`` or ``move:<folder>``. With ``header``, only mails
    that have a field of this name are read, and the others are not touched. A mailbox that was
    never read is read from ``since`` on (Unix seconds).
    """

    name: str
    login: ImapLogin
    folder: str = "INBOX"
    poll_seconds: float = 60.0
    after_processing: str = "delete"
    header: str | None = None
    since: float | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    """One mail: its digest, and what the handler found in it."""

    uid: int
    digest: str
    found: Any


@dataclass(frozen=True, slots=True)
class _Look:
    """Mails to read now, and the UID up to which the mailbox is handled then."""

    uids: Sequence[int]
    until: int


class MailboxWatch:
    """Loop over one mailbox, which one process at a time does over all hosts.

    The changes that a mail makes are committed together with the digest of its octets, so a
    restart handles nothing twice and misses nothing, also if the folder was made again and its
    mails have new UIDs. Mails in which the handler finds nothing stay, marked as seen.
    """

    def __init__(
        self,
        place: WatchedMailbox,
        handler: Handler,
        db: SqlDb,
        claims: ClaimsTable,
        mailboxes: MailboxesTable,
        guard: NetworkGuard,
        clock: Clock,
        owner: str,
        tokens: TokenSource | None = None,
    ) -> None:
        """``owner`` is the mark of this process, for claims.

        ``tokens`` has the access tokens of log-ins that use them.
        """
        self.place = place
        self._handler = handler
        self._db = db
        self._claims = claims
        self._mailboxes = mailboxes
        self._guard = guard
        self._clock = clock
        self._owner = owner
        self._tokens = tokens
        self._pause = _FIRST_PAUSE_SECONDS
        self._troubles = Troubles()
        self._space = process_space()
        self._is_over = False

    async def round(self) -> None:
        """Watch the mailbox until it cannot be used, then pause.

        Raises DatabaseUnavailable.
        """
        await asyncio.sleep(await self.visit(stays=True))

    async def visit(self, *, stays: bool = False) -> float:
        """Read the mailbox, and go on watching it if the visit ``stays``.

        Returns the time until the next visit, seconds. Raises DatabaseUnavailable.
        """
        usual = min(self.place.poll_seconds, _LONGEST_WAIT_SECONDS)
        if not await self._claimed():
            return usual
        client = IMAPClient(self.place.login, self._guard, tokens=self._tokens)
        try:
            await client.open()
            while await self._is_read(client) and stays:
                await client.wait(usual)
                if not await self._claimed():
                    break
        except ImapTrouble as trouble:
            return await self._fail(trouble)
        finally:
            await client.close()
        return usual

    async def release(self) -> None:
        """Let another process take over; the watch is over then."""
        self._is_over = True
        with suppress(DatabaseUnavailable):  # the claim expires
            await self._db.write(self._claims.release, self._owner, self._claim)

    @property
    def _claim(self) -> str:
        return f"mailbox:{self.place.name}"

    async def _claimed(self) -> bool:
        """Take or renew the claim, also that of a process of this host that has ended."""
        for owner in await self._db.read(self._claims.owners):
            if has_ended(owner, self._space):
                await self._db.write(self._claims.release, owner)
        return await self._db.write(self._take)

    def _take(self, connection: Connection) -> bool:
        # A transaction whose caller was cancelled may still come, after ``release``.
        if self._is_over:
            return False
        now = self._clock.now()
        return self._claims.take(connection, self._claim, self._owner, now, _CLAIM_SECONDS)

    async def _is_read(self, client: IMAPClient) -> bool:
        """Handle all mails; return False if another process has claimed the mailbox."""
        # SELECT again each time: a folder that was deleted and made again is noticed, and a mail
        # that arrives after the last SELECT ends the wait.
        while not await self._is_current(client, await client.select(self.place.folder)):
            if not await self._claimed():
                return False
        self._works()
        return True

    async def _is_current(self, client: IMAPClient, mailbox: Mailbox) -> bool:
        """Handle a batch of mails; return True if there were none."""
        name = self.place.name
        progress = await self._db.read(self._mailboxes.progress, name)
        if progress.uidvalidity != mailbox.uidvalidity:
            progress = Progress(mailbox.uidvalidity)
            if self.place.since is not None:
                last = await client.arrived_since(self.place.since, mailbox.uidnext)
                progress = Progress(mailbox.uidvalidity, last)
        is_current = progress.last_uid == mailbox.uidnext - 1
        look = await self._look(client, progress, mailbox)
        batch = await self._read(client, look.uids)
        is_whole = len(batch) == len(look.uids)
        new, left = await self._db.write(self._store, batch, self._clock.now())
        if new:
            self._handler.stored(new)
        await self._settle(client, batch, left)
        # At last: if the process ends before, the batch comes again, and is known by its octets.
        done = Progress(mailbox.uidvalidity, look.until if is_whole else batch[-1].uid)
        await self._db.write(self._mailboxes.save, name, done, self._clock.now())
        return is_current

    async def _look(self, client: IMAPClient, progress: Progress, mailbox: Mailbox) -> _Look:
        """Return the next mails to read; with ``header``, among many more."""
        uids = await client.uids(progress.last_uid, mailbox.uidnext)
        wanted, end = uids, mailbox.uidnext - 1
        if self.place.header is not None and uids:
            seen = uids[:_LOOKED_AT]
            having = await client.having_header(seen, self.place.header)
            wanted = [uid for uid in seen if uid in having]
            end = end if len(seen) == len(uids) else seen[-1]
        batch = wanted[:_BATCH]
        return _Look(batch, end if len(batch) == len(wanted) else batch[-1])

    async def _read(self, client: IMAPClient, uids: Sequence[int]) -> list[_Read]:
        batch: list[_Read] = []
        octets = 0
        if len(uids) > 1:
            await client.read_ahead(uids)
        for uid in uids:
            message = await client.fetch(uid)
            if message is None:
                batch.append(_Read(uid, "", None))  # another program has removed it
                continue
            digest, found = await _PARSING.run(self._examined, message.octets)
            if isinstance(found, Exception):
                log(
                    Action.MAILBOX_MAIL_SKIPPED,
                    exception=found,
                    mailbox=self.place.name,
                    uid=uid,
                )
                found = None
            if found is not None:
                await self._handler.prepare(found)
            batch.append(_Read(uid, digest, found))
            octets += len(message.octets)
            if octets > _BATCH_OCTETS:
                break
        return batch

    def _examined(self, octets: bytes) -> tuple[str, Any]:
        return hashlib.sha256(octets).hexdigest(), value_of(self._handler.read, octets)

    def _store(
        self, connection: Connection, batch: Sequence[_Read], now: float
    ) -> tuple[list[Any], set[int]]:
        """Store the findings of mails that were not handled before.

        Returns these findings, and the UIDs of mails to leave.
        """
        new, left = [], set()
        for mail in batch:
            if mail.found is None:
                continue
            if not self._mailboxes.admit(connection, self.place.name, mail.digest, now):
                continue
            if self._handler.store(connection, mail.found, now):
                new.append(mail.found)
            else:
                self._mailboxes.withdraw(connection, self.place.name, mail.digest)
                left.add(mail.uid)
        return new, left

    async def _settle(self, client: IMAPClient, batch: Sequence[_Read], left: set[int]) -> None:
        """Mark, move or delete the mails that were handled; mark the others as seen.

        Those in ``left`` are not touched; with ``header``, no others are.
        """
        found = [mail for mail in batch if mail.found is not None and mail.uid not in left]
        handled = [mail.uid for mail in found if not self._handler.stays(mail.found)]
        others = [mail.uid for mail in batch if mail.digest and mail.uid not in (*handled, *left)]
        if self.place.header is not None:
            others = []
        how = self.place.after_processing
        if how == "seen":
            others += handled
        elif handled and how.startswith(_MOVE):
            await client.move(handled, how.removeprefix(_MOVE))
        elif handled:
            await client.delete(handled)
        if others:
            await client.mark_seen(others)

    def _works(self) -> None:
        self._pause = _FIRST_PAUSE_SECONDS
        seconds = self._troubles.end(self.place.name)
        if seconds is not None:
            log(Action.MAILBOX_WORKS, mailbox=self.place.name, seconds=seconds)

    async def _fail(self, trouble: ImapTrouble) -> float:
        """Note that the mailbox cannot be used; return the pause, seconds."""
        pause, name = self._pause, self.place.name
        self._pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        if self._troubles.is_due(name):
            log(
                Action.MAILBOX_FAILED,
                mailbox=name,
                stage=trouble.stage,
                reason=trouble.reason,
                seconds=pause,
            )
        await self._db.write(self._mailboxes.fail, name, str(trouble), self._clock.now())
        return pause
