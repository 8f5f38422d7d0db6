"""Stored form of a mail: JSON text, written at intake and read at each attempt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import orjson

from mail_proxy.domain.mail import Address, Mail

#: Characters that are written at once. ``orjson`` holds the interpreter lock while it writes.
_PIECE = 262_144
#: Place of a long text. In JSON this character is always escaped.
_MARK = "\0"
#: Content up to this length is listed as it is: a row of its own for the head would cost more.
_SMALL = 10_000


def dump_mail(mail: Mail) -> str:
    """Return the JSON text of a mail, for ``load_mail``."""
    if len(mail.body) <= _PIECE and len(mail.body_html or "") <= _PIECE:
        return orjson.dumps(mail).decode()
    record = {each.name: getattr(mail, each.name) for each in fields(mail)}
    long = [name for name in ("body", "body_html") if record[name] is not None]
    marked = orjson.dumps(record | dict.fromkeys(long, orjson.Fragment(_MARK.encode())))
    begin, *others = marked.decode().split(_MARK)
    pieces = [begin]
    for name, following in zip(long, others, strict=True):
        pieces += ('"', *_in_pieces(record[name]), '"', following)
    return "".join(pieces)


def _in_pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE):
        yield orjson.dumps(text[start : start + _PIECE])[1:-1].decode()


def dump_head(mail: Mail, content: str) -> str | None:
    """Return the JSON text of a large mail without its bodies; None for a small one.

    ``content`` is that of ``dump_mail``. Listings read the head, so that they read no bodies.
    """
    if len(content) <= _SMALL:
        return None
    return dump_mail(replace(mail, body="", body_html=None))


def load_mail(text: str) -> Mail:
    """Return the mail of a JSON text of ``dump_mail``; its bodies may be missing."""
    record = orjson.loads(text)
    record.setdefault("body", "")
    for name in ("to", "cc", "bcc", "reply_to"):
        record[name] = tuple(_address(a) for a in record[name])
    record["sender"] = _address(record["sender"])
    record["headers"] = tuple((name, value) for name, value in record["headers"])
    return Mail(**record)


def _address(record: dict[str, str]) -> Address:
    return Address(record["name"], record["email"])
