"""Programs of others that read mails: Node's mailparser, and neomutt."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from tests.harness.errors import NotAvailable
from tests.harness.patience import PATIENCE_SECONDS

_ROOT = Path(__file__).parents[2]
_PACKAGES = _ROOT / "build" / "node" / "node_modules"
_SCRIPT = """
const { simpleParser } = require("mailparser");
const chunks = [];
process.stdin.on("data", (chunk) => chunks.push(chunk)).on("end", async () => {
  const read = [];
  for (const mail of JSON.parse(Buffer.concat(chunks))) {
    const { attachments, html, subject, text } =
      await simpleParser(Buffer.from(mail, "base64"), { keepCidLinks: true });
    read.push({ html: html || null, subject, text: text || null, files: attachments.map((each) => ({
      name: each.filename || null,
      type: each.contentType,
      disposition: each.contentDisposition || null,
      content_id: each.cid || null,
      is_related: Boolean(each.related),
      content: each.content.toString("base64"),
    })) });
  }
  process.stdout.write(JSON.stringify(read));
});
"""
_SETTINGS = """
set charset=utf-8
set confirmcreate=no
set header_cache=""
set mbox_type=mbox
set quit=yes
set record=""
set resolve=no
set sleep_time=0
"""


@dataclass(frozen=True)
class NodeFile:
    """An attachment as mailparser reads it."""

    name: str | None
    type: str
    disposition: str | None
    content_id: str | None
    is_related: bool
    content: bytes


@dataclass(frozen=True)
class NodeMail:
    """A mail as mailparser reads it."""

    subject: str
    text: str | None
    html: str | None
    files: list[NodeFile]


def read_with_node(*mails: bytes) -> list[NodeMail]:
    """Read mails with Node's mailparser; NotAvailable if it is not installed."""
    node = shutil.which("node")
    if node is None or not (_PACKAGES / "mailparser").is_dir():
        raise NotAvailable("mailparser is missing: npm install --prefix build/node mailparser")
    given = json.dumps([base64.b64encode(mail).decode() for mail in mails])
    environment = {"PATH": os.environ["PATH"], "NODE_PATH": str(_PACKAGES)}
    done = subprocess.run(
        [node, "-e", _SCRIPT],
        input=given.encode(),
        capture_output=True,
        env=environment,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return [_node_mail(record) for record in json.loads(done.stdout)]


def _node_mail(record: dict[str, Any]) -> NodeMail:
    files = [
        NodeFile(**{**each, "content": base64.b64decode(each["content"])})
        for each in record.pop("files")
    ]
    return NodeMail(**record, files=files)


def save_with_neomutt(mail: bytes, places: Sequence[int], folder: Path) -> None:
    """Save attachments of a mail in a folder, under the names that neomutt proposes.

    ``places`` are lines of its menu of attachments, from 0. NotAvailable if it is not installed.
    """
    program = shutil.which("neomutt")
    if program is None:
        raise NotAvailable("neomutt is missing: it is Debian's package neomutt")
    keys = "".join(
        "<first-entry>" + "<next-entry>" * place + "<save-entry><enter>" for place in places
    )
    with TemporaryDirectory() as name:
        home = Path(name)
        for part in ("cur", "new", "tmp"):
            (home / "mail" / part).mkdir(parents=True)
        (home / "mail" / "cur" / "1:2,S").write_bytes(mail)
        (home / "settings").write_text(f'{_SETTINGS}set folder="{home}"\n')
        command = [program, "-n", "-F", str(home / "settings"), "-f", str(home / "mail")]
        command += ["-e", f'push "<view-attachments>{keys}<exit><exit>"']
        environment = {
            "HOME": name,
            "LC_ALL": "C.UTF-8",
            "PATH": os.environ["PATH"],
            "TERM": "xterm",
        }
        with _terminal() as terminal:
            program_run = subprocess.Popen(
                command,
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                env=environment,
                cwd=folder,
            )
            try:
                assert program_run.wait(PATIENCE_SECONDS) == 0
            finally:
                program_run.kill()
                program_run.wait()


@contextmanager
def _terminal() -> Iterator[int]:
    """Give a terminal whose output is thrown away."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    reading = Thread(target=_discard, args=(ours,))
    reading.start()
    try:
        yield theirs
    finally:
        os.close(theirs)
        reading.join()
        os.close(ours)


def _discard(terminal: int) -> None:
    with suppress(OSError):  # the other side is closed
        while os.read(terminal, 65_536):
            pass
