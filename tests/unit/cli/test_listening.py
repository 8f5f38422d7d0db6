"""Where an instance may listen, and how it is reached."""

from __future__ import annotations

import pytest

from mail_proxy.cli.listening import is_loopback, local_url, refuse_open_doors
from mail_proxy.cli.output import without_password
from mail_proxy.errors import ConfigError
from mail_proxy.settings import load_config

EVERYWHERE = "0.0.0.0"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    refuse_open_doors(load_config({"host": host}))


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "10.0.0.1", "mail.example.org", ""])
def test_anything_else_does(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(ConfigError, match="loopback only"):
        refuse_open_doors(load_config({"host": host}))
    refuse_open_doors(load_config({"host": host, "api_token": "a token"}))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        (EVERYWHERE, "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("mail.example.org", "http://mail.example.org:8000"),
    ],
)
def test_the_url_works_on_this_machine(host: str, url: str) -> None:
    assert local_url(host, 8000) == url


@pytest.mark.parametrize(
    ("database", "shown"),
    [
        ("/var/mail.db", "/var/mail.db"),
        ("postgresql://db/mail", "postgresql://db/mail"),
        ("postgresql://me@db/mail", "postgresql://me@db/mail"),
        ("postgresql://me:p%40ss@db:5432/mail?a=b", "postgresql://me:***@db:5432/mail?a=b"),
    ],
)
def test_a_database_is_shown_without_its_password(database: str, shown: str) -> None:
    assert without_password(database) == shown
