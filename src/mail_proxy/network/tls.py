"""TLS settings for the connections that the service opens."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Literal


@cache
def system_tls_context(
    protocol: Literal["smtp", "http", "imap"], *, verify_cert: bool = True
) -> ssl.SSLContext:
    """Return the TLS context that trusts the certificate authorities of this machine.

    A process reads them once. That takes up to 100 ms of processor time, so a process does it at
    its start, not on its event loop. Each protocol has a context of its own, because an HTTP
    client writes its protocol names (ALPN) into its context.
    """
    if verify_cert:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
