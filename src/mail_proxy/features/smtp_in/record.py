"""A submitted mail as a raw message: options in its header, Received line."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

#: Header fields that are obeyed and taken out, and the fields of a message that they are.
_OPTIONS = {
    b"id": "id",
    b"account": "account_id",
    b"priority": "priority",
    b"batch": "batch_code",
    b"deferred-until": "deferred_ts",
}
_OPTION = re.compile(
    rb"^X-Genro-(Id|Account|Priority|Batch|Deferred-Until)[ \t]*:"
    rb"([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)\r?\n",
    re.IGNORECASE | re.MULTILINE,
)
_END_OF_HEADER = re.compile(rb"\r?\n\r?\n")
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
#: Characters that may stand in a name or a comment of a Received line.
_UNSAFE = re.compile(r"[^A-Za-z0-9.:\[\]_-]")
_LONGEST_NAME = 255


class WrongOption(ValueError):
    """An option stands twice, or cannot be read."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Facts about the session for the Received line. ``helo`` is what the client says."""

    helo: str
    address: str
    host: str
    encrypted: bool


@dataclass(frozen=True, slots=True)
class Submission:
    """A mail as it arrived: envelope, octets without dot-stuffing, and its session.

    The null reverse-path is ``<>``.
    """

    return_path: str
    recipients: Sequence[str]
    content: bytes
    origin: Origin


def record_of(submission: Submission, usual_id: str, now: float) -> dict[str, Any]:
    """Return the fields of the raw message. Raises WrongOption.

    ``usual_id`` is the id of a mail that names none.
    """
    content = submission.content
    found = _END_OF_HEADER.search(content)
    end = found.start() + 1 if found else len(content)
    # The line end of the last field belongs to the header.
    end = content.find(b"\n", end - 1) + 1 if found else end
    options, head = _options(content[:end])
    id_ = options.setdefault("id", usual_id)
    received = _received(submission.origin, id_, now)
    raw = b"".join((received, head, content[end:]))
    return {
        **options,
        "raw": base64.b64encode(raw).decode(),
        "to": list(submission.recipients),
        "return_path": submission.return_path,
    }


def _options(head: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the options of a header, and the header without them."""
    options: dict[str, Any] = {}
    for match in _OPTION.finditer(head):
        name = _OPTIONS[match[1].lower()]
        if name in options:
            raise WrongOption(f"X-Genro-{match[1].decode()} stands twice")
        try:
            value = " ".join(match[2].decode().split())
        except UnicodeDecodeError:
            raise WrongOption(f"X-Genro-{match[1].decode()} is not UTF-8") from None
        options[name] = _value(name, value)
    return options, _OPTION.sub(b"", head) if options else head


def _value(name: str, text: str) -> Any:
    if name == "priority" and text.isascii() and text.isdigit():
        return int(text[:3])
    if name == "deferred_ts" and _NUMBER.fullmatch(text):
        return float(text)
    return text.lower() if name == "priority" else text


def _received(origin: Origin, id_: str, now: float) -> bytes:
    """Return the Received line (RFC 5321 section 4.4), the client's words made safe."""
    helo = _UNSAFE.sub("?", origin.helo)[:_LONGEST_NAME] or "unknown"
    address = _UNSAFE.sub("?", origin.address)
    literal = f"IPv6:{address}" if ":" in address else address
    protocol = "ESMTPSA" if origin.encrypted else "ESMTPA"
    lines = (
        f"Received: from {helo} ([{literal}])",
        f"\tby {origin.host} with {protocol}",
        f"\tid {_UNSAFE.sub('?', id_)[:_LONGEST_NAME]};",
        f"\t{formatdate(now)}",
    )
    return "\r\n".join(lines).encode() + b"\r\n"
