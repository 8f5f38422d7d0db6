"""Signed, expiring tokens in links to files."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

_TOKEN_BYTES = 16 + 8 + 32
_PURPOSE = b"genro-mail-proxy links to files 1"


@dataclass(frozen=True)
class SignedFile:
    """Content of a token: 16 bytes that name a file, and the end of validity."""

    file: bytes
    expires_at: int


class UrlSigner:
    """Makes and checks tokens in links to files.

    The key is derived from a secret of the instance. A token is base64url of file (16 bytes), time
    (8 bytes) and HMAC-SHA256 (32 bytes).
    """

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, _PURPOSE, hashlib.sha256)

    def token(self, file: bytes, expires_at: float) -> str:
        """Return a token for a file of 16 bytes, valid until ``expires_at``."""
        signed = file + int(expires_at).to_bytes(8, "big")
        octets = signed + hmac.digest(self._key, signed, hashlib.sha256)
        return base64.urlsafe_b64encode(octets).decode().rstrip("=")

    def find(self, token: str, now: float) -> SignedFile | None:
        """Return the content of a token; None if it is forged or expired."""
        try:
            octets = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            return None
        signed, signature = octets[:24], octets[24:]
        expected = hmac.digest(self._key, signed, hashlib.sha256)
        if len(octets) != _TOKEN_BYTES or not hmac.compare_digest(signature, expected):
            return None
        expires_at = int.from_bytes(signed[16:], "big")
        return SignedFile(signed[:16], expires_at) if now < expires_at else None
