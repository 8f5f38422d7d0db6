"""The URL of the database holds a password"""

from __future__ import annotations

from pathlib import Path

import pytest

from mail_proxy.cli.output import without_password
from mail_proxy.config import ProxyConfig
from mail_proxy.errors import ConfigError
from mail_proxy.sql.adapters import adapter_for


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:S3CRET@h/d",
        "postgresql+foo://u:S3CRET@h/d",
        "POSTGRESQL://u:S3CRET@h/d",
        "sqlite://u:S3CRET@h/d",
        "postgresql://u:S3CRET@h:port/d",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="db_path") as caught:
        adapter_for(ProxyConfig(db_path=url).database_url)
    assert "S3CRET" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:S3CRET@h:5432/d", "postgresql://u:***@h:5432/d"),
        ("postgresql://u:S3/C:R@ET@h/d", "postgresql://u:***@h/d"),
        ("postgresql://:S3CRET@h/d", "postgresql://:***@h/d"),
        (
            "postgresql://h/d?password=S3CRET&sslmode=require",
            "postgresql://h/d?password=***&sslmode=require",
        ),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("/var/lib/mail.db", "/var/lib/mail.db"),
    ],
)
def test_a_database_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
