"""Stored form of a mail: JSON text, written at intake and read at each attempt."""

from __future__ import annotations

from dataclasses import fields, replace

import orjson

from mail_proxy.domain.mail import Address, Mail

#: Characters that are written at once. ``orjson`` holds the interpreter lock while it writes.
_PIECE = 262_144
#: Content up to this length is listed as it is: a row of its own for the head would cost more.
_SMALL = 10_000


def dump_mail(mail: Mail) -> str:
    """Return the JSON text of a mail, for ``load_mail``."""
    if len(mail.body) <= _PIECE and len(mail.body_html or "") <= _PIECE:
        return orjson.dumps(mail).decode()
    record = {each.name: getattr(mail, each.name) for each in fields(mail)}
    for name in ("body", "body_html"):
        if record[name] is not None:
            record[name] = orjson.Fragment(_in_pieces(record[name]))
    return orjson.dumps(record).decode()


def _in_pieces(text: str) -> bytes:
    """Return the JSON text of a long string."""
    starts = range(0, len(text), _PIECE)
    pieces = (orjson.dumps(text[start : start + _PIECE])[1:-1] for start in starts)
    return b'"%b"' % b"".join(pieces)


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
