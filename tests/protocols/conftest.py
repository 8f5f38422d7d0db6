"""Certificates of a private authority, for servers on loopback."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from tests.harness.errors import NotAvailable
from tests.harness.imap_server import Dovecot
from tests.harness.processes import Children


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """A server's context with a certificate for 127.0.0.1 that ``client_tls`` trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def dovecot(authority: trustme.CA) -> Iterator[Dovecot]:
    """A real IMAP server, one for a session of tests."""
    certificate = authority.issue_cert("127.0.0.1")
    children = Children()
    # Its sockets have short names only in a short folder, which another user may enter.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        try:
            chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
            server = Dovecot(
                children, Path(folder) / "imap", chain, certificate.private_key_pem.bytes()
            )
            server.start()
        except NotAvailable as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(error))
        yield server
        children.close()
