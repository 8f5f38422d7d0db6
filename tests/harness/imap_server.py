"""A Dovecot server on loopback, with mailboxes of its own, for tests."""

from __future__ import annotations

import imaplib
import os
import pwd
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tests.harness.errors import NotAvailable
from tests.harness.processes import Children, Process, free_port
from tests.harness.sinks import wait_for_port

PASSWORD = "secret-of-the-mailbox"
_FOLDERS = ("/usr/sbin", "/usr/local/sbin")
_CONFIG = """\
protocols = imap
base_dir = {folder}/run
log_path = {folder}/log
listen = 127.0.0.1
ssl = {ssl}
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
disable_plaintext_auth = no
auth_mechanisms = plain
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
mail_location = maildir:{folder}/mail/%u
first_valid_uid = 0
first_valid_gid = 0
mail_max_userip_connections = 100
mail_fsync = never
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u
}}
# A wrong password is answered at once, also the next time.
auth_failure_delay = 0
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service imap {{
  client_limit = 1
}}
"""


class Dovecot:
    """An IMAP server whose users all have ``PASSWORD``; a user is made by logging in."""

    def __init__(self, children: Children, folder: Path, certificate: bytes, key: bytes) -> None:
        self.port, self.tls_port = free_port(), free_port()
        self._children = children
        self._folder = folder
        self._process: Process | None = None
        folder.mkdir(parents=True)
        (folder / "mail").mkdir()
        (folder / "cert.pem").write_bytes(certificate)
        (folder / "key.pem").write_bytes(key)
        owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self._owner = owner
        for place in (folder, folder / "mail", folder / "cert.pem", folder / "key.pem"):
            if os.geteuid() == 0:
                os.chown(place, owner.pw_uid, owner.pw_gid)
        text = _CONFIG.format(
            folder=folder,
            ssl="yes",
            user=owner.pw_name,
            group="nogroup" if owner.pw_name == "nobody" else owner.pw_name,
            uid=owner.pw_uid,
            gid=owner.pw_gid,
            password=PASSWORD,
            port=self.port,
            tls_port=self.tls_port,
        )
        (folder / "dovecot.conf").write_text(text)

    def start(self) -> None:
        self._process = self._children.start(
            "dovecot", [_program(), "-F", "-c", self._folder / "dovecot.conf"]
        )
        wait_for_port(self.port, self._process)

    def stop(self) -> None:
        if self._process is not None:
            self._children.stop(self._process)

    def append(self, user: str, *messages: bytes, folder: str = "INBOX") -> None:
        """Put messages into a mailbox."""
        with self.session(user) as session:
            session.create(folder)
            for message in messages:
                status, answer = session.append(folder, "", "", message)
                assert status == "OK", answer

    def fill(self, user: str, messages: Sequence[bytes], folder: str = "INBOX") -> None:
        """Put many messages into a mailbox, as files: thousands take a second."""
        self.append(user, folder=folder)
        place = self._folder / "mail" / user / ("" if folder == "INBOX" else f".{folder}") / "cur"
        for number, message in enumerate(messages):
            # Names that differ by a number alone collide in Dovecot's tables.
            file = place / f"{1_000_000_000 + number}.{uuid4().hex}.example:2,"
            file.write_bytes(message)
            if os.geteuid() == 0:
                os.chown(file, self._owner.pw_uid, self._owner.pw_gid)

    def flags(self, user: str, folder: str = "INBOX") -> dict[int, bytes]:
        """The flags of the messages of a folder, by UID."""
        with self.session(user) as session:
            if session.select(folder)[0] != "OK":
                return {}
            _, answers = session.uid("FETCH", "1:*", "(FLAGS)")
        found = {}
        for answer in answers:
            # Without a UID: news of another session's changes.
            if isinstance(answer, bytes) and b"UID " in answer:
                uid = int(answer.partition(b"UID ")[2].split()[0].rstrip(b")"))
                flags = answer.partition(b"FLAGS (")[2].partition(b")")[0]
                found[uid] = flags.replace(b"\\Recent", b"").strip()
        return found

    def recreate(self, user: str, folder: str, messages: Sequence[bytes]) -> None:
        """Delete a folder and make it again, with a new UIDVALIDITY."""
        with self.session(user) as session:
            session.delete(folder)
        self.append(user, *messages, folder=folder)

    @contextmanager
    def session(self, user: str) -> Iterator[imaplib.IMAP4]:
        with imaplib.IMAP4("127.0.0.1", self.port, timeout=60) as session:
            session.login(user, PASSWORD)
            yield session


def _program() -> str:
    path = os.pathsep.join((os.environ.get("PATH", ""), *_FOLDERS))
    found = shutil.which("dovecot", path=path)
    if found is None:
        raise NotAvailable("dovecot is not installed (Debian: dovecot-imapd)")
    return found
