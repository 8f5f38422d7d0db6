"""Stored form of a mail: JSON text, written at intake and read at each attempt."""

from __future__ import annotations

import orjson

from mail_proxy.domain.mail import Address, Mail


def dump_mail(mail: Mail) -> str:
    """Return the JSON text of a mail, for ``load_mail``."""
    return orjson.dumps(mail).decode()


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
