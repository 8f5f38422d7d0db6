"""Transcript of the SMTP dialogue about a mail, without the mail's content.

It is for people who look into a failure.
"""

from __future__ import annotations

from collections.abc import Sequence

from mail_proxy.smtp.replies import Reply

#: Commands as they were written, a reply, or how many octets of a message went out.
Entry = bytes | Reply | int
_MOST_OCTETS = 16384
_CUT = "[...]"


def render(dialogue: Sequence[Entry], most_octets: int = _MOST_OCTETS) -> str:
    """Return ``dialogue`` line by line, ``C:`` for commands and ``S:`` for replies.

    At most ``most_octets`` long: the middle is left out, because a failure is at the end.
    Replies are redacted when they are read, and log-ins before they get here.
    """
    lines: list[str] = []
    for entry in dialogue:
        if isinstance(entry, Reply):
            lines.append(f"S: {entry}")
        elif isinstance(entry, int):
            lines.append(f"C: [{entry} octets of the message]")
        else:
            text = entry.decode("utf-8", "replace")
            lines += [f"C: {line}" for line in text.split("\r\n") if line]
    text = "\n".join(lines)
    if len(text.encode()) <= most_octets:
        return text
    half = (most_octets - len(_CUT) - 2) // 2
    octets = text.encode()
    head = octets[:half].decode("utf-8", "ignore").rpartition("\n")[0]
    tail = octets[-half:].decode("utf-8", "ignore").partition("\n")[2]
    return f"{head}\n{_CUT}\n{tail}"
