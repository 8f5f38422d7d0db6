"""One session of the IMAP server for tests: its commands and answers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from mail_proxy.testing.imap_fetch import fetched
from mail_proxy.testing.imap_folders import DELETED, SEEN, Folder, Folders, StoredMail
from mail_proxy.testing.imap_search import found_by
from mail_proxy.testing.imap_syntax import (
    BadCommand,
    number_set,
    parse_command,
    quoted,
    read_command,
    text_of,
)
from mail_proxy.testing.initial_response import TokenLogins

_CAPABILITIES = "IMAP4rev1 IDLE UIDPLUS MOVE LITERAL+ UNSELECT"
_FLAGS = r"\Answered \Flagged \Deleted \Seen \Draft"

LogIn = Callable[[str, str | None], Folders | None]


class SessionEnded(Exception):
    """End of a session by LOGOUT, which is not an error."""


class _Refused(Exception):
    """Answer NO, with its text."""


class ImapSession:
    """Session of a client. ``changed`` is notified when a folder may have changed."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        log_in: LogIn,
        tls_context: ssl.SSLContext | None,
        changed: asyncio.Condition,
        tokens: TokenLogins | None = None,
    ) -> None:
        """With ``tls_context`` STARTTLS is offered, with ``tokens`` log-ins with tokens."""
        self._tokens = tokens
        self._reader, self._writer = reader, writer
        self._log_in = log_in
        self._tls_context = tls_context
        self._changed = changed
        self._folders: Folders | None = None
        self._folder: Folder | None = None
        #: UIDs of the mails that the client knows, by their sequence numbers.
        self._known: list[int] = []
        self._commands: dict[str, Callable[[list[Any]], Awaitable[str]]] = {
            "CAPABILITY": self._capability,
            "NOOP": self._noop,
            "CHECK": self._noop,
            "LOGOUT": self._logout,
            "STARTTLS": self._starttls,
            "LOGIN": self._login,
            "AUTHENTICATE": self._authenticate,
            "SELECT": self._select,
            "EXAMINE": self._select,
            "CLOSE": self._close,
            "UNSELECT": self._unselect,
            "LIST": self._list,
            "STATUS": self._status,
            "CREATE": self._create,
            "DELETE": self._delete,
            "APPEND": self._append,
            "IDLE": self._idle,
            "EXPUNGE": self._expunge,
            **{
                name: self._over_mails(name)
                for name in ("SEARCH", "FETCH", "STORE", "COPY", "MOVE")
            },
            "UID": self._uid,
        }

    async def greet(self) -> None:
        """Send the greeting."""
        self._say(f"* OK [CAPABILITY {self._offers()}] ready")
        await self._writer.drain()

    async def serve_command(self) -> None:
        """Read a command and answer it. Raises SessionEnded after LOGOUT."""
        pieces = await read_command(self._reader, self._go_ahead)
        tag = (pieces[0].split() or [b"*"])[0].decode("ascii", "replace")
        try:
            await self._obey(tag, parse_command(pieces))
        except BadCommand as error:
            self._say(f"{tag} BAD {error}")
        except _Refused as error:
            self._say(f"{tag} NO {error}")
        except SessionEnded:
            self._say(f"{tag} OK LOGOUT done")
            await self._writer.drain()
            raise
        await self._writer.drain()

    async def _obey(self, tag: str, tokens: list[Any]) -> None:
        if len(tokens) < 2:
            raise BadCommand("a command has a tag and a name")
        name = text_of(tokens[1]).upper()
        command = self._commands.get(name)
        if command is None:
            raise BadCommand(f"{name} is not known")
        try:
            done = await command(tokens[2:])
        except (IndexError, TypeError, ValueError):
            raise BadCommand(f"the arguments of {name} are not understood") from None
        if name not in ("FETCH", "STORE", "SEARCH"):
            self._tell_changes()
        self._say(f"{tag} OK {done}")
        if name == "STARTTLS":
            await self._encrypt()

    def _say(self, line: str | bytes) -> None:
        self._writer.write((line if isinstance(line, bytes) else line.encode()) + b"\r\n")

    async def _go_ahead(self) -> None:
        self._say("+ go ahead")
        await self._writer.drain()

    def _offers(self) -> str:
        offered = [_CAPABILITIES]
        if self._tls_context is not None:
            offered.append("STARTTLS")
        if self._tokens is not None:
            offered += [f"AUTH={name}" for name in self._tokens.mechanisms]
        return " ".join(offered)

    def _tell_changes(self) -> None:
        """Tell the client which mails have gone and come since the last time."""
        if self._folder is None:
            return
        mails = self._folder.mails
        for number in range(len(self._known), 0, -1):
            if self._known[number - 1] not in mails:
                del self._known[number - 1]
                self._say(f"* {number} EXPUNGE")
        newest = self._known[-1] if self._known else 0
        new = [uid for uid in mails if uid > newest]
        if new:
            self._known += new
            self._say(f"* {len(self._known)} EXISTS")

    @property
    def _own(self) -> Folders:
        if self._folders is None:
            raise _Refused("log in first")
        return self._folders

    @property
    def _selected(self) -> Folder:
        if self._folder is None:
            raise _Refused("select a folder first")
        return self._folder

    def _named(self, token: Any) -> Folder:
        folder = self._own.find(text_of(token))
        if folder is None:
            raise _Refused("[TRYCREATE] no such folder")
        return folder

    async def _capability(self, _: list[Any]) -> str:
        self._say(f"* CAPABILITY {self._offers()}")
        return "CAPABILITY done"

    async def _noop(self, _: list[Any]) -> str:
        return "NOOP done"

    async def _logout(self, _: list[Any]) -> str:
        self._say("* BYE")
        raise SessionEnded

    async def _starttls(self, _: list[Any]) -> str:
        if self._tls_context is None:
            raise BadCommand("STARTTLS is not offered")
        return "STARTTLS begin"

    async def _encrypt(self) -> None:
        assert self._tls_context is not None
        await self._writer.drain()
        await self._writer.start_tls(self._tls_context)
        self._tls_context = None

    async def _login(self, arguments: list[Any]) -> str:
        self._folders = self._log_in(text_of(arguments[0]), text_of(arguments[1]))
        if self._folders is None:
            raise _Refused("[AUTHENTICATIONFAILED] Authentication failed.")
        return "LOGIN done"

    async def _authenticate(self, arguments: list[Any]) -> str:
        mechanism = text_of(arguments[0]).upper()
        if self._tokens is None or mechanism not in self._tokens.mechanisms:
            raise _Refused("[CANNOT] the mechanism is not known")
        user = await self._tokens.accepted(mechanism, await self._ask(""), self._ask)
        self._folders = None if user is None else self._log_in(user, None)
        if self._folders is None:
            raise _Refused("[AUTHENTICATIONFAILED] Authentication failed.")
        return "AUTHENTICATE done"

    async def _ask(self, challenge: str) -> str:
        self._say(f"+ {challenge}")
        await self._writer.drain()
        return (await self._reader.readuntil(b"\r\n")).decode().strip()

    async def _select(self, arguments: list[Any]) -> str:
        self._folder = None
        folder = self._folder = self._named(arguments[0])
        self._known = list(folder.mails)
        self._say(f"* FLAGS ({_FLAGS})")
        self._say(rf"* OK [PERMANENTFLAGS ({_FLAGS} \*)] all are kept")
        self._say(f"* {len(self._known)} EXISTS")
        self._say("* 0 RECENT")
        self._say(f"* OK [UIDVALIDITY {folder.uidvalidity}] UIDs are valid")
        self._say(f"* OK [UIDNEXT {folder.uidnext}] next UID")
        return "[READ-WRITE] done"

    async def _close(self, _: list[Any]) -> str:
        self._selected.expunge()
        self._folder = None
        return "CLOSE done"

    async def _unselect(self, _: list[Any]) -> str:
        self._folder = None
        return "UNSELECT done"

    async def _list(self, arguments: list[Any]) -> str:
        pattern = text_of(arguments[0]) + text_of(arguments[1])
        for name in self._own.names:
            if pattern in ("*", "%") or pattern == name or pattern.upper() == name:
                self._say(b'* LIST () "/" ' + quoted(name))
        return "LIST done"

    async def _status(self, arguments: list[Any]) -> str:
        folder = self._named(arguments[0])
        unseen = sum(SEEN not in mail.flags for mail in folder.mails.values())
        known = {
            "MESSAGES": len(folder.mails),
            "RECENT": 0,
            "UIDNEXT": folder.uidnext,
            "UIDVALIDITY": folder.uidvalidity,
            "UNSEEN": unseen,
        }
        wanted = [text_of(each).upper() for each in arguments[1]]
        items = " ".join(f"{name} {known[name]}" for name in wanted if name in known)
        self._say(b"* STATUS " + quoted(folder.name) + f" ({items})".encode())
        return "STATUS done"

    async def _create(self, arguments: list[Any]) -> str:
        name = text_of(arguments[0])
        if self._own.find(name) is not None:
            raise _Refused("[ALREADYEXISTS] the folder is there")
        self._own.create(name)
        return "CREATE done"

    async def _delete(self, arguments: list[Any]) -> str:
        self._own.remove(self._named(arguments[0]).name)
        return "DELETE done"

    async def _append(self, arguments: list[Any]) -> str:
        folder = self._named(arguments[0])
        flags = next((each for each in arguments[1:] if isinstance(each, list)), [])
        if not isinstance(arguments[-1], bytes):
            raise BadCommand("the mail is missing")
        mail = folder.add(arguments[-1], map(text_of, flags))
        return f"[APPENDUID {folder.uidvalidity} {mail.uid}] APPEND done"

    async def _idle(self, _: list[Any]) -> str:
        await self._go_ahead()
        telling = asyncio.create_task(self._keep_telling())
        try:
            if (await self._reader.readuntil(b"\r\n")).strip().upper() != b"DONE":
                raise BadCommand("DONE ends IDLE")
        finally:
            telling.cancel()
        return "IDLE done"

    async def _keep_telling(self) -> None:
        # Under the lock all the time: a change between telling and waiting would not be told.
        async with self._changed:
            while True:
                self._tell_changes()
                await self._writer.drain()
                await self._changed.wait()

    async def _expunge(self, _: list[Any]) -> str:
        self._selected.expunge()
        return "EXPUNGE done"

    async def _uid(self, arguments: list[Any]) -> str:
        name = text_of(arguments[0]).upper()
        if name == "EXPUNGE":
            wanted = number_set(arguments[1], self._selected.uidnext - 1)
            self._selected.expunge([uid for uid in self._selected.mails if wanted(uid)])
            return "UID EXPUNGE done"
        return await self._over_mails(name, is_uid=True)(arguments[1:])

    def _over_mails(
        self, name: str, *, is_uid: bool = False
    ) -> Callable[[list[Any]], Awaitable[str]]:
        """Return the command that works on mails by sequence numbers, or by UIDs."""

        async def run(arguments: list[Any]) -> str:
            if name == "SEARCH":
                return self._search(arguments, is_uid=is_uid)
            works = {"FETCH": self._fetch, "STORE": self._store, "COPY": self._copy}
            work = works.get(name, self._move if name == "MOVE" else None)
            if work is None:
                raise BadCommand(f"UID {name} is not known")
            return work(self._chosen(arguments[0], is_uid=is_uid), arguments[1:], is_uid)

        return run

    def _chosen(self, token: Any, *, is_uid: bool) -> list[tuple[int, StoredMail]]:
        """Return the mails of a set that are still there, with their sequence numbers."""
        mails = self._selected.mails
        last = (self._known[-1] if self._known else 0) if is_uid else len(self._known)
        wanted = number_set(token, last)
        return [
            (number, mails[uid])
            for number, uid in enumerate(self._known, 1)
            if wanted(uid if is_uid else number) and uid in mails
        ]

    def _search(self, arguments: list[Any], *, is_uid: bool) -> str:
        chosen = self._chosen("1:*", is_uid=False)
        found = found_by(arguments, chosen, self._known[-1] if self._known else 0)
        numbers = [mail.uid if is_uid else number for number, mail in found]
        self._say(" ".join(["* SEARCH", *map(str, numbers)]))
        return "SEARCH done"

    def _fetch(self, chosen: list[tuple[int, StoredMail]], arguments: list[Any], uid: bool) -> str:
        items = arguments[0] if isinstance(arguments[0], list) else arguments
        for number, mail in chosen:
            answer = fetched([text_of(item) for item in items], mail, with_uid=uid)
            self._say(b"* %d FETCH (%s)" % (number, answer))
        return "FETCH done"

    def _store(self, chosen: list[tuple[int, StoredMail]], arguments: list[Any], uid: bool) -> str:
        how, _, quiet = text_of(arguments[0]).upper().partition(".")
        named = arguments[1] if isinstance(arguments[1], list) else arguments[1:]
        flags = {text_of(flag) for flag in named}
        for number, mail in chosen:
            if how == "FLAGS":
                mail.flags = set(flags)
            elif how == "+FLAGS":
                mail.flags |= flags
            elif how == "-FLAGS":
                mail.flags -= flags
            else:
                raise BadCommand("FLAGS, +FLAGS or -FLAGS")
            if not quiet:
                self._say(b"* %d FETCH (%s)" % (number, fetched(["FLAGS"], mail, with_uid=uid)))
        return "STORE done"

    def _copy(self, chosen: list[tuple[int, StoredMail]], arguments: list[Any], uid: bool) -> str:
        target = self._named(arguments[0])
        for _, mail in chosen:
            target.add(mail.octets, mail.flags)
        return "COPY done"

    def _move(self, chosen: list[tuple[int, StoredMail]], arguments: list[Any], uid: bool) -> str:
        self._copy(chosen, arguments, uid)
        for _, mail in chosen:
            mail.flags.add(DELETED)
        self._selected.expunge([mail.uid for _, mail in chosen])
        return "MOVE done"
