"""Data items of FETCH (RFC 3501 section 6.4.5) for the IMAP server for tests."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from mail_proxy.testing.imap_folders import SEEN, StoredMail
from mail_proxy.testing.imap_syntax import BadCommand

_BODY = re.compile(
    r"BODY(?P<peek>\.PEEK)?\[(?P<section>[^\]]*)\](?:<(?P<start>\d+)\.(?P<count>\d+)>)?"
)
_MACROS = {
    "ALL": ["FLAGS", "INTERNALDATE", "RFC822.SIZE"],
    "FAST": ["FLAGS", "INTERNALDATE", "RFC822.SIZE"],
}
_OLD_NAMES = {
    "RFC822": "BODY[]",
    "RFC822.HEADER": "BODY.PEEK[HEADER]",
    "RFC822.TEXT": "BODY[TEXT]",
}


def fetched(items: Sequence[str], mail: StoredMail, *, with_uid: bool) -> bytes:
    """Return the items of a mail as the answer FETCH holds them.

    BODY without PEEK marks the mail as seen.
    """
    names = _MACROS.get(items[0].upper(), list(items))
    if with_uid and "UID" not in (name.upper() for name in names):
        names = ["UID", *names]
    return b" ".join(_item(name, mail) for name in names)


def _item(name: str, mail: StoredMail) -> bytes:
    upper = name.upper()
    if upper == "UID":
        return b"UID %d" % mail.uid
    if upper == "FLAGS":
        return f"FLAGS ({' '.join(sorted(mail.flags))})".encode()
    if upper == "RFC822.SIZE":
        return b"RFC822.SIZE %d" % len(mail.octets)
    if upper == "INTERNALDATE":
        at = time.gmtime(mail.received_at)
        return time.strftime('INTERNALDATE "%d-%b-%Y %H:%M:%S +0000"', at).encode()
    body = _BODY.fullmatch(_OLD_NAMES.get(upper, upper))
    if body is None:
        raise BadCommand(f"{name} is not known")
    octets = _section(body["section"], mail.octets)
    label = upper if upper in _OLD_NAMES else f"BODY[{body['section']}]"
    if body["start"] is not None:
        start = int(body["start"])
        octets = octets[start : start + int(body["count"])]
        label += f"<{start}>"
    if not body["peek"]:
        mail.flags.add(SEEN)
    return b"%s {%d}\r\n%s" % (label.encode(), len(octets), octets)


def _section(name: str, octets: bytes) -> bytes:
    header, separator, text = octets.partition(b"\r\n\r\n")
    if name == "":
        return octets
    if name == "HEADER":
        return header + separator
    if name == "TEXT":
        return text
    wanted = re.fullmatch(r"HEADER\.FIELDS \(([^)]*)\)", name)
    if wanted is None:
        raise BadCommand(f"BODY[{name}] is not known")
    fields = {field.encode().lower() for field in wanted[1].split()}
    lines = re.split(rb"\r\n(?![ \t])", header)
    chosen = [line for line in lines if line.partition(b":")[0].strip().lower() in fields]
    return b"".join(line + b"\r\n" for line in chosen) + b"\r\n"
