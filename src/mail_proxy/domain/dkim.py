"""Names of DKIM keys: algorithms, and their DNS records (RFC 6376)."""

from __future__ import annotations

from typing import Literal

Algorithm = Literal["rsa-sha256", "ed25519-sha256"]
#: A key of 3072 bits in PKCS#8 PEM has 2484 characters.
MAX_PEM_LENGTH = 4096


def record_name(domain: str, selector: str) -> str:
    """Return the name of the TXT record of a key (RFC 6376 section 3.6.2.1)."""
    return f"{selector}._domainkey.{domain}"
