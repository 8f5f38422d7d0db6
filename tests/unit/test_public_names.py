"""What other programs may import"""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import mail_proxy
from mail_proxy import errors
from reference_pages import python


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("mail_proxy", ["MailProxy", "ProxyConfig"]),
        (
            "mail_proxy.sql",
            [
                "Column",
                "Columns",
                "Connection",
                "Damaged",
                "PostgresAdapter",
                "RecordUpdater",
                "SqlDb",
                "SqliteAdapter",
                "Table",
            ],
        ),
        (
            "mail_proxy.client",
            [
                "AccountFields",
                "AccountTestFields",
                "AsyncMailProxyClient",
                "Attachment",
                "BadSignature",
                "ClientAuth",
                "MailProxyClient",
                "Message",
                "NoAnswer",
                "RateLimits",
                "RawMessage",
                "Report",
                "Retries",
                "SettingFields",
                "TenantFields",
                "verify_reports",
            ],
        ),
        (
            "mail_proxy.encryption",
            [
                "EncryptionError",
                "EncryptionKeyNotConfigured",
                "decrypt_value",
                "decrypt_value_with_key",
                "encrypt_value",
                "encrypt_value_with_key",
                "generate_key",
                "hash_token",
                "is_encrypted",
                "load_key",
                "new_token",
                "token_matches",
            ],
        ),
    ],
)
def test_the_public_names_are_these_and_all_are_there(module: str, names: list[str]) -> None:
    found = importlib.import_module(module)
    assert sorted(found.__all__) == names
    assert all(getattr(found, name) is not None for name in names)


#: Names that other programs rely on. Each is documented with its place in the reference.
NAMES = """
MailProxy ProxyConfig TimingConfig QueueConfig ConcurrencyConfig RetryConfig CacheConfig
ClientSyncConfig SmtpSender SMTPPool PooledConnection RateLimiter RetryStrategy AttachmentManager
Base64Fetcher HttpFetcher StorageFetcher MemoryCache DiskCache TieredCache LargeFileStorage
ClientReporter BounceParser BounceInfo BounceReceiver BounceConfig PecReceiptParser PecReceiptInfo
PecReceiver IMAPClient IMAPMessage MailMetrics SqlDb Table Column Columns RecordUpdater
SqliteAdapter PostgresAdapter TenantsTable AccountsTable MessagesTable MessageEventTable
InstanceTable CommandLogTable StoragesTable create_app MailProxyClient AsyncMailProxyClient
"""


def test_each_documented_name_is_where_the_reference_says() -> None:
    places = {
        name: module
        for modules in python.PLACES.values()
        for module, names in modules.items()
        for name in names
    }
    assert sorted(places) == sorted(NAMES.split())
    for name, module in places.items():
        found = getattr(importlib.import_module(module), name)
        assert found.__name__ in (name, "ReadOnlyColumnCollection")
        assert found.__doc__ or name == "Columns"


def test_the_reference_describes_each_name() -> None:
    text = python.render()
    for name in NAMES.split():
        assert f"### `{name}`\n\n`from mail_proxy" in text
    assert "| `await create(config=None, *, report_delivery_callable=None, clock=None)` |" in text
    assert "| `messages.add(messages, *, default_priority=None, tenant_id=None)` |" in text


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Nonsense"):
        mail_proxy.Nonsense  # noqa: B018


def test_importing_the_package_and_the_errors_pulls_in_no_server() -> None:
    heavy = ["fastapi", "sqlalchemy", "uvicorn", "alembic"]
    script = f"import sys, mail_proxy, mail_proxy.errors; print({heavy} & sys.modules.keys())"
    script = script.replace(f"{heavy} &", f"set({heavy}) &")
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "set()"


def test_every_error_is_in_the_tree_with_the_codes_that_it_draws() -> None:
    drawn = {}
    for line in (errors.__doc__ or "").splitlines():
        words = line.lstrip("|+- ").split()
        if len(words) == 5 and words[3] == "exit":
            drawn[words[0]] = (words[1], int(words[2]), int(words[4]))
    classes = {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert drawn == {n: (c.code, c.http_status, c.exit_code) for n, c in classes.items()}
    assert all(issubclass(c, errors.MailProxyError) for c in classes.values())
