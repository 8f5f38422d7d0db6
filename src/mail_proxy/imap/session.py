"""Blocking IMAP session over a connected socket, with bounded answers."""

from __future__ import annotations

import contextlib
import imaplib
import socket
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import imapclient
from imapclient.exceptions import IMAPClientError, InvalidCriteriaError, LoginError

from mail_proxy.domain.oauth2 import OAUTHBEARER

#: A message is fetched in part if it is longer; nothing else in an answer is a long literal.
LONGEST_MESSAGE = 50_000_000
_LONGEST_LITERAL = LONGEST_MESSAGE + 1024
#: UIDs are looked for in ranges, because imaplib refuses answers with lines over 1 MB.
_FEWEST_UIDS, _UIDS_AT_ONCE = 2_000, 20_000
_ENOUGH_UIDS = 1_000
#: Messages that are fetched together, with one answer for all.
_MOST_AHEAD_BYTES = 4_000_000
_FIELDS = b"BODY[HEADER.FIELDS"


class AnswerTooLong(imaplib.IMAP4.abort):
    """The server announced more octets than any answer may have."""


class _Protocol(imaplib.IMAP4):
    """The library's protocol over a given socket.

    ``imaplib`` reads a literal of any length into memory; here it has a bound.
    """

    def __init__(self, connected: socket.socket, host: str, seconds: float) -> None:
        self._connected = connected
        self._received = 0
        super().__init__(host, timeout=seconds)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        self._connected.settimeout(timeout)
        return self._connected

    def send(self, data: Any) -> None:
        """Send a part of a command, and count the octets of its answer from zero."""
        self._received = 0
        super().send(data)

    def read(self, size: int) -> bytes:
        """Read a literal. All literals of one answer together have a bound."""
        self._received += size
        if self._received > _LONGEST_LITERAL:
            raise AnswerTooLong(f"an answer of {size} octets; allowed: {_LONGEST_LITERAL}")
        return super().read(size)


class ImapSession(imapclient.IMAPClient):  # type: ignore[misc]
    """Session of ``imapclient``; its methods block, up to ``seconds`` an answer."""

    def __init__(self, connected: socket.socket, host: str, seconds: float) -> None:
        """Read the greeting over a connected socket, which may speak TLS already."""
        self._connected = connected
        self._ahead: dict[int, bytes] = {}
        super().__init__(host, ssl=False, timeout=seconds)

    def _create_IMAP4(self) -> imaplib.IMAP4:  # noqa: N802 - the library's name
        return _Protocol(self._connected, self.host, self._timeout.connect)

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Go on under TLS (STARTTLS)."""
        self.starttls(context)

    def log_in_with_token(self, mechanisms: Sequence[tuple[str, bytes]]) -> None:
        """Log in with an access token by the first mechanism that the server offers.

        ``mechanisms`` are names with their initial responses. The words of a refusal are in a
        challenge, which one more line answers (RFC 7628 section 3.2.3; XOAUTH2: an empty one).
        """
        usable = [(n, r) for n, r in mechanisms if self.has_capability(f"AUTH={n}")]
        if not usable:
            raise LoginError("the server offers no log-in with tokens")
        name, response = usable[0]
        challenges: list[bytes] = []

        def answer(challenge: bytes) -> bytes:
            challenges.append(challenge)
            if len(challenges) == 1:
                return response
            return b"\x01" if name == OAUTHBEARER else b""

        try:
            self._command_and_check("authenticate", name, answer)
        except (IMAPClientError, imaplib.IMAP4.error) as error:
            words = b" ".join(challenges[1:]).decode("utf-8", "replace")
            raise LoginError(f"{error} {words}".strip()) from None

    def uids(self, after: int, before: int) -> list[int]:
        """Return the UIDs between two, both excluded, in order.

        It may return the first thousand or more only, so that large folders cost no more.
        """
        found: list[int] = []
        first, width = after + 1, _FEWEST_UIDS
        while first < before and len(found) <= _ENOUGH_UIDS:
            last = min(first + width, before) - 1
            answer: list[int] = self.search(["UID", f"{first}:{last}"])
            # A range behind the last message finds the last message (RFC 3501 section 6.4.8).
            found += (uid for uid in answer if first <= uid <= last)
            first, width = last + 1, min(2 * width, _UIDS_AT_ONCE)
        return sorted(found)

    def read_ahead(self, uids: Sequence[int]) -> None:
        """Fetch the first of these messages together, as far as they are small.

        ``message`` returns them then without asking the server.
        """
        sizes = self.fetch(uids, ["RFC822.SIZE"])
        small: list[int] = []
        total = 0
        for uid in uids:
            total += int(sizes.get(uid, {}).get(b"RFC822.SIZE", 0))
            if total > _MOST_AHEAD_BYTES:
                break
            small.append(uid)
        self._ahead = self._fetched(small) if small else {}

    def last_before(self, at: float, before: int) -> int:
        """Return the UID behind which all messages are that arrived since ``at``.

        0, which is before all of them, if the server cannot search for days.
        """
        day = datetime.fromtimestamp(at, UTC).date()
        for first in range(1, before, _UIDS_AT_ONCE):
            last = min(first + _UIDS_AT_ONCE, before) - 1
            try:
                answer: list[int] = self.search(["UID", f"{first}:{last}", "SINCE", day])
            except InvalidCriteriaError:
                return 0
            if found := [uid for uid in answer if first <= uid <= last]:
                return min(found) - 1
        return before - 1

    def having_header(self, uids: Sequence[int], name: str) -> set[int]:
        """Return those messages whose own header has a field of this name.

        Messages that the server says nothing about are among them.
        """
        part = f"BODY.PEEK[HEADER.FIELDS ({name})]"
        without = set()
        for uid, items in self.fetch(uids, [part]).items():
            fields = [v for key, v in items.items() if key.upper().startswith(_FIELDS)]
            if fields and not any(value and value.strip() for value in fields):
                without.add(uid)
        return {uid for uid in uids if uid not in without}

    def message(self, uid: int) -> bytes | None:
        """Return a message without marking it as seen; None if it is gone.

        Of one that is longer than LONGEST_MESSAGE, the beginning.
        """
        found = self._ahead.pop(uid, None)
        return self._fetched([uid]).get(uid) if found is None else found

    def _fetched(self, uids: Sequence[int]) -> dict[int, bytes]:
        part = f"BODY.PEEK[]<0.{LONGEST_MESSAGE}>"
        return {
            uid: bytes(value)
            for uid, items in self.fetch(uids, [part]).items()
            for name, value in items.items()
            if name.startswith(b"BODY[]") and value is not None
        }

    def remove(self, uids: Sequence[int]) -> None:
        """Delete messages; if the server can, no others that are marked as deleted."""
        self.add_flags(uids, [imapclient.DELETED], silent=True)
        if self.has_capability("UIDPLUS"):
            self.uid_expunge(uids)
        else:
            self.expunge()

    def relocate(self, uids: Sequence[int], folder: str) -> None:
        """Move messages to another folder, which is made if it is missing."""
        if not self.folder_exists(folder):
            self.create_folder(folder)
        if self.has_capability("MOVE"):
            self.move(uids, folder)
            return
        self.copy(uids, folder)
        self.remove(uids)

    def has_news(self, seconds: float) -> bool:
        """Wait in IDLE until the server reports a change, at most ``seconds``."""
        self.idle()
        try:
            if self._has_read_ahead():
                return True
            answers: list[Any] = self.idle_check(timeout=seconds)
        finally:
            self.idle_done()
        return any(len(answer) > 1 and answer[1] == b"EXISTS" for answer in answers)

    def _has_read_ahead(self) -> bool:
        """Return whether answers are buffered: no poll of the socket sees them.

        Servers send what happened before IDLE in the packet of its continuation.
        """
        names = vars(self._imap)
        file = names.get("file") or names["_file"]  # since Python 3.14
        connected = self.socket()
        connected.setblocking(False)
        try:
            return bool(file.peek(1))
        except ssl.SSLWantReadError:
            return False
        finally:
            connected.settimeout(self._timeout.read)

    def interrupt(self) -> None:
        """End the connection; a thread that waits for an answer gets an error."""
        with contextlib.suppress(OSError):
            self.socket().shutdown(socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """Close the connection; it waits for a thread that reads from it."""
        self.interrupt()
        with contextlib.suppress(OSError):
            self.shutdown()
