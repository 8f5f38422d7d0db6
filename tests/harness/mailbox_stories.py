"""Stories of a bounce mailbox on a real IMAP server: kills, faults, and large folders."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import trustme
from tests.harness import messages
from tests.harness.errors import HarnessError
from tests.harness.faulty_path import FaultyPath
from tests.harness.imap_server import PASSWORD, Dovecot
from tests.harness.patience import PATIENCE_SECONDS
from tests.harness.proxy import ProxyProcess
from tests.harness.rig import Rig
from tests.harness.sinks import RecordingSink

from mail_proxy.testing.returned_mails import delivery_report

_PREFIX = "returned"
_USER = "bounces"
PERSON = b"From: ann@example.net\r\nSubject: hello\r\n\r\nfrom a person\r\n"


@dataclass(frozen=True)
class Toll:
    """What became of the bounces: ``missed`` and ``twice`` must be 0."""

    bounces: int
    missed: int
    twice: int
    faults: int
    seconds: float


class MailboxStories:
    """One proxy and one Dovecot with a network in between, for one story."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._home = rig.new_directory("home")
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
        self.dovecot = Dovecot(
            rig.children,
            rig.new_directory("imap"),
            chain,
            certificate.private_key_pem.bytes(),
        )
        self._trusted = rig.new_directory("authority.pem")
        authority.cert_pem.write_to_path(str(self._trusted))
        self._database = rig.new_database()

    def proxy(self) -> ProxyProcess:
        """Return a process of the one instance, to be entered."""
        settings = {"SSL_CERT_FILE": str(self._trusted)}
        return self._rig.proxy(home=self._home, database_url=self._database, settings=settings)

    def send(self, proxy: ProxyProcess, sink: RecordingSink, count: int) -> list[bytes]:
        """Send messages; return a bounce about each."""
        proxy.add_account(sink.port)
        self._rig.queue(proxy, _PREFIX, count)
        self._rig.wait_accepted(proxy, sink, count)
        return [_bounce(number) for number in range(count)]

    def watch(self, proxy: ProxyProcess, port: int, **changes: Any) -> None:
        """Watch the mailbox behind ``port``, under TLS."""
        body = {
            "enabled": True,
            "imap_host": "127.0.0.1",
            "imap_port": port,
            "imap_user": _USER,
            "imap_password": PASSWORD,
            "imap_tls": "ssl",
            "poll_interval": 5,
            **changes,
        }
        proxy.request("PUT", "/instance/bounce", json.dumps(body).encode())

    def fill(self, mails: list[bytes], folder: str = "INBOX") -> None:
        self.dovecot.fill(_USER, mails, folder)

    def flags(self, folder: str = "INBOX") -> dict[int, bytes]:
        return self.dovecot.flags(_USER, folder)

    def recreate(self, folder: str, mails: list[bytes]) -> None:
        self.dovecot.recreate(_USER, folder, mails)


def killed(rig: Rig, bounces: int, kills: int) -> Toll:
    """Kill the proxy (kill -9) again and again while it handles a batch of bounces."""
    stories = MailboxStories(rig)
    with rig.recording_sink() as sink, _running(stories):
        with stories.proxy() as proxy:
            mails = stories.send(proxy, sink, bounces)
            stories.watch(proxy, stories.dovecot.tls_port, enabled=False)
        stories.fill(mails)
        begin, done, faults = time.monotonic(), 0, 0
        while done < bounces:
            with stories.proxy() as proxy:
                stories.watch(proxy, stories.dovecot.tls_port)
                before = done
                done = _wait(proxy, lambda count, before=before: count > before)
                if faults < kills and done < bounces:
                    proxy.kill()
                    faults += 1
                else:
                    done = _wait(proxy, lambda count: count >= bounces)
                    return _toll(proxy, bounces, faults, begin)
    raise HarnessError("not reached")


def after_processing(rig: Rig, bounces: int) -> dict[str, tuple[Counter[bytes], Counter[bytes]]]:
    """Return the flags in INBOX and Done after each mode; one mail is of a person."""
    return {mode: _settled(rig, bounces, mode) for mode in ("delete", "seen", "move:Done")}


def _settled(rig: Rig, bounces: int, mode: str) -> tuple[Counter[bytes], Counter[bytes]]:
    stories = MailboxStories(rig)
    with rig.recording_sink() as sink, _running(stories), stories.proxy() as proxy:
        mails = stories.send(proxy, sink, bounces)
        stories.fill([*mails[: bounces // 2], PERSON, *mails[bounces // 2 :]])
        stories.watch(proxy, stories.dovecot.tls_port, after_processing=mode)
        _wait(proxy, lambda count: count >= bounces)
        _until(lambda: all(stories.flags().values()))
        return Counter(stories.flags().values()), Counter(stories.flags("Done").values())


def large(rig: Rig, mails: int, bounces: int) -> tuple[Toll, float]:
    """Read a mailbox with many mails, few of them bounces; return also the mails per second."""
    stories = MailboxStories(rig)
    with rig.recording_sink() as sink, _running(stories), stories.proxy() as proxy:
        returned = stories.send(proxy, sink, bounces)
        step = mails // bounces
        every = [
            returned[n // step] if n % step == 0 else _person(n) for n in range(step * bounces)
        ]
        stories.fill(every)
        begin = time.monotonic()
        stories.watch(proxy, stories.dovecot.tls_port)
        _wait(proxy, lambda count: count >= bounces, seconds=3600)
        _until(lambda: all(stories.flags().values()), seconds=3600)
        toll = _toll(proxy, bounces, 0, begin)
        if len(stories.flags()) != len(every) - bounces:
            raise HarnessError("mails of persons are missing, or bounces are left")
        return toll, len(every) / toll.seconds


def faults(rig: Rig, bounces: int) -> Toll:
    """Cut the connection, also in the middle of a FETCH; restart Dovecot; make the folder again."""
    stories = MailboxStories(rig)
    with (
        rig.recording_sink() as sink,
        _running(stories),
        FaultyPath(stories.dovecot.tls_port) as path,
        stories.proxy() as proxy,
    ):
        mails = stories.send(proxy, sink, bounces)
        stories.fill([_long(mails[0]), *mails[1:]], "Bounces")
        begin = time.monotonic()
        # The first mail comes in 64 kB pieces of 50 ms: the cut is in the middle of it.
        path.delay_seconds = 0.05
        stories.watch(proxy, path.port, imap_folder="Bounces", after_processing="seen")
        _until(lambda: path.connections > 0)
        time.sleep(1)
        broken = path.cut()
        path.delay_seconds = 0.0
        for fault in range(3):
            _reload(proxy)
            _wait(proxy, lambda count, least=(fault + 1) * bounces // 4: count >= least)
            broken += path.cut()
        stories.dovecot.stop()
        stories.dovecot.start()
        _reload(proxy)
        _wait(proxy, lambda count: count >= bounces * 7 // 8)
        stories.recreate("Bounces", [_long(mails[0]), *mails[1:]])
        _reload(proxy)
        _wait(proxy, lambda count: count >= bounces)
        _until(lambda: all(stories.flags("Bounces").values()))
        return _toll(proxy, bounces, broken + 2, begin)


@contextmanager
def _running(stories: MailboxStories) -> Iterator[None]:
    stories.dovecot.start()
    try:
        yield
    finally:
        stories.dovecot.stop()


def _bounce(number: int) -> bytes:
    recipient = f"user{number}@example.org"
    head = f"X-Genro-Mail-ID: {messages.mail_id(_PREFIX, number)}\r\nTo: {recipient}\r\n\r\n"
    return delivery_report(head.encode(), recipient, "5.1.1", "550 5.1.1 User unknown")


def _person(number: int) -> bytes:
    return PERSON.replace(b"hello", b"hello %d" % number)


def _long(bounce: bytes) -> bytes:
    """Return a bounce with an attachment of 5 MB."""
    line = b"x" * 76 + b"\r\n"
    return bounce.replace(b"This is the mail system", line * 65_000 + b"This is the mail system", 1)


def _reload(proxy: ProxyProcess) -> None:
    proxy.request("POST", "/instance/bounce/reload")


def _counted(proxy: ProxyProcess) -> int:
    return sum(row["bounced"] for row in proxy.request("GET", "/stats")["stats"])


def _wait(
    proxy: ProxyProcess, fits: Callable[[int], bool], seconds: float = 3 * PATIENCE_SECONDS
) -> int:
    deadline = time.monotonic() + seconds
    while not fits(count := _counted(proxy)):
        if time.monotonic() > deadline:
            raise HarnessError(f"after {seconds:.0f} s, {count} bounces are recorded")
        time.sleep(0.05)
    return count


def _until(condition: Callable[[], bool], seconds: float = 3 * PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise HarnessError("the mailbox did not come to its end in time")
        time.sleep(0.05)


def _toll(proxy: ProxyProcess, bounces: int, faults: int, begin: float) -> Toll:
    """Compare the messages with the bounces: each has one, and the sum is their number."""
    seconds = time.monotonic() - begin
    missed, cursor = 0, ""
    while True:
        page = proxy.request("GET", f"/messages?limit=1000{cursor}")
        missed += sum(message.get("bounce_ts") is None for message in page["messages"])
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    return Toll(bounces, missed, _counted(proxy) - bounces + missed, faults, seconds)
