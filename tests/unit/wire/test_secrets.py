"""Secrets in free-form settings are masked, and come back as they were"""

from __future__ import annotations

from typing import Any

import pytest

from mail_proxy.wire.secrets import kept_secrets, masked_config

STORED: dict[str, Any] = {
    "storage_url": "s3://me:hunter22@bucket/prefix",
    "secret": "hunter22",
    "aws_secret_access_key": "hunter22",
    "AccessToken": "hunter22",
    "credentials": {"type": "service_account", "blob": "hunter22"},
    "nested": {"list": [{"password": "hunter22"}, "http://a:hunter22@b"], "key": "hunter22"},
    "max_size_mb": 10.0,
    "action": "warn",
    "monkey": "see",
    "public_base_url": "https://files.example",
}


def test_no_secret_is_left() -> None:
    shown = masked_config(STORED)
    assert "hunter22" not in str(shown)
    assert {k: v for k, v in shown.items() if shown[k] == STORED[k]} == {
        "max_size_mb": 10.0,
        "action": "warn",
        "monkey": "see",
        "public_base_url": "https://files.example",
    }
    assert shown["storage_url"] == "s3://********@bucket/prefix"


def test_what_was_shown_and_is_written_back_changes_nothing() -> None:
    assert kept_secrets(masked_config(STORED), STORED) == STORED


@pytest.mark.parametrize("old", [None, {}, {"secret": None}])
def test_a_masked_secret_that_is_not_known_is_left_out(old: dict[str, Any] | None) -> None:
    new = {"secret": "********", "url": "s3://********@b", "action": "warn"}
    assert kept_secrets(new, old) == {"action": "warn"}


def test_a_new_secret_replaces_the_old_one() -> None:
    assert kept_secrets({"secret": "new", "action": "warn"}, STORED) == {
        "secret": "new",
        "action": "warn",
    }
