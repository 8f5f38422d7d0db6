"""Logins of attachments, which are sealed inside the stored mail."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection, select, update

from mail_proxy.domain.mail import Mail
from mail_proxy.encryption import decrypt_value_with_key, encrypt_repeatably
from mail_proxy.errors import EncryptionError
from mail_proxy.sql import schema

#: In the JSON text of a mail. Quotes inside a value are escaped there, so nothing else looks so.
_SEALED = re.compile(r'"auth":"(ENC:[A-Za-z0-9+/=]+)"')
_payload, _message = schema.message_payload.c, schema.message.c
_FIND = (
    select(_payload.pk, _message.tenant_id, _message.id)
    .join_from(schema.message_payload, schema.message, _message.pk == _payload.pk)
    .where(_payload.content.like('{%"auth":"ENC:%'))
)


class AttachmentLogins:
    """Seals and opens the logins of attachments, each bound to its message."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sealed(self, mail: Mail, tenant_id: str, message_id: str) -> Mail:
        """Return a mail whose attachments have sealed logins.

        The same login gives the same text, so that a repeated message is seen to be the same.
        """
        if all(each.auth is None for each in mail.attachments):
            return mail
        context = _context(tenant_id, message_id)
        return replace(
            mail,
            attachments=tuple(
                each
                if each.auth is None
                else replace(each, auth=encrypt_repeatably(each.auth, self._key, context))
                for each in mail.attachments
            ),
        )

    def opened(self, auth: str, tenant_id: str, message_id: str) -> str:
        """Return a login as JSON text; raises EncryptionError."""
        return decrypt_value_with_key(auth, self._key, _context(tenant_id, message_id))


def reencrypt_logins(
    connection: Connection, old: bytes, new: bytes, damaged: list[str], done: Callable[[], None]
) -> int:
    """Seal the logins of all messages with a new key; return how many messages.

    Texts that cannot be opened are noted in ``damaged``, and nothing is written from then on.
    ``done`` is called after each message.
    """
    found = connection.execute(_FIND).all()
    for pk, tenant_id, message_id in found:
        content = connection.execute(select(_payload.content).where(_payload.pk == pk)).scalar_one()
        context = _context(tenant_id, message_id)

        def renewed(sealed: re.Match[str], context: str = context) -> str:
            login = decrypt_value_with_key(sealed[1], old, context)
            return f'"auth":"{encrypt_repeatably(login, new, context)}"'

        try:
            content = _SEALED.sub(renewed, content)
        except EncryptionError as error:
            damaged.append(f"attachments of message {tenant_id}/{message_id}: {error}")
        if not damaged:
            write = update(schema.message_payload).where(_payload.pk == pk)
            connection.execute(write.values(content=content))
        done()
    return len(found)


def _context(tenant_id: str, message_id: str) -> str:
    return f"message_payload.content:{tenant_id}/{message_id}"
