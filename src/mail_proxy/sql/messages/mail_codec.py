"""The stored form of a mail: one JSON text, written once and read at each attempt."""

from __future__ import annotations

import orjson

from mail_proxy.domain.mail import Address, Mail


def dump_mail(mail: Mail) -> str:
    """The JSON text that ``load_mail`` reads back."""
    return orjson.dumps(mail).decode()


def load_mail(text: str) -> Mail:
    """The mail as it was stored."""
    record = orjson.loads(text)
    for name in ("to", "cc", "bcc", "reply_to"):
        record[name] = tuple(_address(a) for a in record[name])
    record["sender"] = _address(record["sender"])
    record["headers"] = tuple((name, value) for name, value in record["headers"])
    return Mail(**record)


def _address(record: dict[str, str]) -> Address:
    return Address(record["name"], record["email"])
