"""Links to unsubscribe, for messages with ``list_unsubscribe: true``."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from mail_proxy.errors import ConstraintViolated
from mail_proxy.sql import SqlDb
from mail_proxy.sql.tables.link_secret import LinkSecretTable

#: Path of the hosted page, before the token.
PATH = "/u/"
LONGEST_TOKEN = 2000
_PURPOSE = b"genro-mail-proxy links to unsubscribe 1"
_PLACE = [b"unsubscribe"]
#: Tokens have a multiple of this length, so that it says little about the address.
_BLOCK = 48


@dataclass(frozen=True, slots=True)
class Subscription:
    """Content of a token: the message of a tenant, and the recipient of its mails."""

    tenant_id: str
    message_id: str
    address: str


class UnsubscribeLinks:
    """Maker and reader of links, whose tokens are encrypted (AES-SIV, RFC 5297).

    It is the same for the same message, so that a message that is handed in again has not
    changed. It does not end: the right to unsubscribe does not either.
    """

    def __init__(self, db: SqlDb, secrets: LinkSecretTable, public_url: str | None) -> None:
        self._db = db
        self._secrets = secrets
        self._base = None if public_url is None else public_url.rstrip("/") + PATH
        self._cipher: AESSIV | None = None

    @property
    def mistake(self) -> str | None:
        """The reason why the service hosts no page; None if it does."""
        if self._base is None:
            return "true needs the setting public_url (GMP_PUBLIC_URL)"
        if not self._base.startswith("https://"):
            return "true needs a public_url with https:// (RFC 8058)"
        return None

    async def prepare(self) -> AESSIV:
        """Read the secret of the links; make it the first time."""
        if self._cipher is None:
            try:
                secret = await self._db.write(self._secrets.obtain)
            except ConstraintViolated:  # another process has just made it
                secret = await self._db.write(self._secrets.obtain)
            self._cipher = AESSIV(hmac.digest(secret.encode(), _PURPOSE, hashlib.sha512))
        return self._cipher

    def url(self, wanted: Subscription) -> str:
        """Return the link of a recipient; ``prepare`` comes first."""
        assert self._cipher is not None, "prepare comes first"
        assert self._base is not None, "mistake says why there is no page"
        parts = (wanted.tenant_id, wanted.message_id, wanted.address)
        said = "\0".join(parts).encode() + b"\0"
        padded = said.ljust(-(-len(said) // _BLOCK) * _BLOCK, b"\0")
        sealed = self._cipher.encrypt(padded, _PLACE)
        return self._base + base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    async def find(self, token: str) -> Subscription | None:
        """Return the content of a token; None if it is forged or damaged."""
        if len(token) > LONGEST_TOKEN or not token.isascii():
            return None
        cipher = await self.prepare()
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
            tenant_id, message_id, address = cipher.decrypt(sealed, _PLACE).decode().split("\0")[:3]
        except (ValueError, InvalidTag):
            return None
        return Subscription(tenant_id, message_id, address)
