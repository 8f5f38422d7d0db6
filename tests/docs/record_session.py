"""Records a terminal session of a new user: from nothing to a delivered mail, by prompts only.

    python -m tests.docs.record_session > docs/howto/first-mail.txt

Needs tmux, and the program installed next to this Python.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_WAIT_SECONDS = 120.0
_POLL_SECONDS = 0.1
_SERVER = "gmp-recording"
#: What the user types, and the text on the screen before each.
_TYPED = (
    ("$", "mail-proxy start shop --background"),
    ("mail-proxy stop shop", "mail-proxy accounts add"),
    ("Name of the account", ""),
    ("SMTP server", "127.0.0.1"),
    ("Encryption", "none"),
    ("Port [", "{port}"),
    ("User name", "ann"),
    ("Password", "a-secret-word"),
    ("Test it now?", ""),
    ("quit", "mail-proxy send"),
    ("From", "The Shop <shop@example.com>"),
    ("To (several", "ann@example.org"),
    ("Subject", "Your order is on its way"),
    ("Text", "Hello Ann, it left our house this morning."),
    ("sent: the mail server took it", "mail-proxy messages list"),
    ("Taken in", "mail-proxy stop shop"),
    ("shop has stopped", "clear -x"),
)
_MAIL_SERVER = """\
import asyncio
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
async def main():
    async with ScriptedSmtpServer(users={"ann": "a-secret-word"}) as server:
        print(server.port, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def _tmux(*words: str) -> str:
    command = ["tmux", "-L", _SERVER, "-f", "/dev/null", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _screen() -> str:
    return _tmux("capture-pane", "-p", "-J", "-S", "-", "-t", "session")


def _wait_for(text: str, behind: int, *, is_command: bool) -> int:
    """Return the length of the screen's text once ``text`` is on it behind a place.

    Before a command, the shell's prompt has to be there as well.
    """
    end = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < end:
        shown = "\n" + _screen().rstrip()
        if text in shown[behind:] and (not is_command or shown.endswith("\n$")):
            return len(shown)
        time.sleep(_POLL_SECONDS)
    raise SystemExit(f"{text!r} did not appear:\n{_screen()}")


def record(home: Path, port: int) -> str:
    """Type the session into a terminal, and return what it shows."""
    programs = str(Path(sys.executable).parent)
    environ = {
        "HOME": str(home),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PS1": "$ ",
        "HISTFILE": "",
    }
    shell = ["env", "-i", "TERM=screen", *(f"{k}={v}" for k, v in environ.items())]
    size = ("-x", "112", "-y", "60")
    _tmux("new-session", "-d", "-s", "session", *size, *shell, "bash", "--norc", "--noprofile")
    try:
        behind, shown = 0, ""
        for before, typed in _TYPED:
            is_command = typed.startswith(("mail-proxy", "clear"))
            behind = _wait_for(before, behind, is_command=is_command)
            shown = _screen().rstrip()
            _tmux("send-keys", "-t", "session", "-l", typed.format(port=port))
            _tmux("send-keys", "-t", "session", "Enter")
        return shown.removesuffix("$").rstrip().replace(str(home), "/home/ann")
    finally:
        _tmux("kill-server")


def main() -> None:
    """Print the session."""
    server = subprocess.Popen([sys.executable, "-c", _MAIL_SERVER], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        with tempfile.TemporaryDirectory() as folder:
            shown = record(Path(folder), port)
        lines = [line.rstrip() for line in shown.splitlines()]
        text = re.sub(r"http://127.0.0.1:\d+", "http://127.0.0.1:8000", "\n".join(lines))
        print(text.replace(str(port), "2525"))
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
