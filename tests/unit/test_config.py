"""Settings: where each comes from, and what a wrong one says"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mail_proxy.config import ClientSyncConfig, ProxyConfig
from mail_proxy.errors import ConfigError
from mail_proxy.settings import load_config, settings


def test_each_source_is_stronger_than_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('port = 2\nhost = "file"\nname = "file"\n[timing]\nsync_interval = 7\n')
    loaded = load_config(
        command_line={"port": 4, "host": None},
        environ={"GMP_PORT": "3", "GMP_HOST": "env", "GMP_DEBUG": "", "HOME": "/"},
        file=file,
        defaults={"port": 1, "db_path": "own.db"},
    )
    config = loaded.config
    assert (config.port, config.host, config.name) == (4, "env", "file")
    assert (config.db_path, config.timing.sync_interval) == ("own.db", 7)
    wanted = {
        "port": "command line",
        "host": "environment",
        "name": "file",
        "timing.sync_interval": "file",
        "db_path": "default",
        "debug": "default",
    }
    assert {k: loaded.origins[k] for k in wanted} == wanted
    assert set(loaded.origins) == {s.dotted for s in settings()}


@pytest.mark.parametrize(
    ("variable", "value", "dotted", "expected"),
    [
        ("GMP_DB_PATH", "postgresql://h/d", "db_path", "postgresql://h/d"),
        ("GMP_DATABASE_URL", "x.db", "db_path", "x.db"),
        ("GMP_INSTANCE_NAME", "n", "name", "n"),
        ("GMP_START_ACTIVE", "false", "scheduler_active", False),
        ("GMP_SCHEDULER_ACTIVE", "0", "scheduler_active", False),
        ("GMP_TEST_MODE", "1", "test_mode", True),
        ("GMP_SEND_LOOP_INTERVAL", "2.5", "timing.send_loop_interval", 2.5),
        ("GMP_SYNC_INTERVAL", "60", "timing.sync_interval", 60),
        ("GMP_DEFAULT_PRIORITY", "low", "queue.default_priority", 3),
        ("GMP_DEFAULT_PRIORITY", "0", "queue.default_priority", 0),
        ("GMP_DELIVERY_REPORT_RETENTION_SECONDS", "9", "queue.report_retention_seconds", 9),
        ("GMP_REPORT_RETENTION_SECONDS", "9", "queue.report_retention_seconds", 9),
        ("GMP_BATCH_SIZE_PER_ACCOUNT", "5", "concurrency.batch_size", 5),
        ("GMP_MAX_CONCURRENT_SENDS", "7", "concurrency.max_concurrent_sends", 7),
        ("GMP_RETRY_DELAYS", "1, 2.5,3", "retry.retry_delays", (1, 2.5, 3)),
        ("GMP_MAX_RETRIES", "0", "retry.max_retries", 0),
        ("GMP_ON_UNCERTAIN", "hold", "retry.on_uncertain", "hold"),
        ("GMP_CLIENT_SYNC_URL", "http://a", "client_sync.url", "http://a"),
        ("GMP_CLIENT_SYNC_USER", "u", "client_sync.user", "u"),
        ("GMP_LOG_LEVEL", "debug", "log_level", "DEBUG"),
        ("GMP_CACHE_DISK_DIR", "/x", "cache.cache_disk_dir", Path("/x")),
        ("GMP_CACHE_MEMORY_MAX_MB", "0", "cache.cache_memory_max_mb", 0.0),
        ("GMP_CACHE_DISK_MAX_MB", "2.5", "cache.cache_disk_max_mb", 2.5),
        ("GMP_LOG_FORMAT", "json", "log_format", "json"),
        ("GMP_LOG_DELIVERY_ACTIVITY", "yes", "log_delivery_activity", True),
    ],
)
def test_every_documented_variable_reaches_its_setting(
    variable: str, value: str, dotted: str, expected: Any
) -> None:
    loaded = load_config(environ={variable: value})
    found: Any = loaded.config
    for name in dotted.split("."):
        found = getattr(found, name)
    assert found == expected
    assert loaded.origins[dotted] == "environment"


@pytest.mark.parametrize(
    ("variable", "value", "parts"),
    [
        ("GMP_PORT", "eighty", ["port", "GMP_PORT", "'eighty'", "integer"]),
        ("GMP_PORT", "70000", ["GMP_PORT", "70000", "65535"]),
        ("GMP_SEND_LOOP_INTERVAL", "0", ["GMP_SEND_LOOP_INTERVAL", "0", "greater than 0"]),
        ("GMP_DEFAULT_PRIORITY", "urgent", ["GMP_DEFAULT_PRIORITY", "urgent", "immediate"]),
        ("GMP_LOG_LEVEL", "loud", ["GMP_LOG_LEVEL", "LOUD", "WARNING"]),
        ("GMP_ON_UNCERTAIN", "maybe", ["GMP_ON_UNCERTAIN", "maybe", "hold"]),
        ("GMP_RETRY_DELAYS", "1,x", ["GMP_RETRY_DELAYS", "x", "number"]),
        ("GMP_RETRY_DELAYS", "0", ["GMP_RETRY_DELAYS", "greater than 0"]),
        ("GMP_DEBUG", "perhaps", ["GMP_DEBUG", "perhaps", "boolean"]),
        ("GMP_LEASE_SECONDS", "1", ["GMP_LEASE_SECONDS", "1", "5"]),
        ("GMP_DB_PATH", "mysql://ann:pw@x/y", ["db_path (GMP_DB_PATH) = mysql:", "postgresql://"]),
        ("GMP_CLIENT_SYNC_URL", "ftp://x", ["GMP_CLIENT_SYNC_URL", "'ftp://x': must", "https://"]),
        ("GMP_CLIENT_SYNC_URL", "http://", ["GMP_CLIENT_SYNC_URL", "must"]),
        ("GMP_ATTACHMENT_BASE_URL", "ftp://a", ["GMP_ATTACHMENT_BASE_URL", "must", "https://"]),
        ("GMP_ALLOW_PRIVATE_URLS", "x", ["GMP_ALLOW_PRIVATE_URLS", "IP networks"]),
        ("GMP_PEC_ACCEPTANCE_TIMEOUT", "0", ["GMP_PEC_ACCEPTANCE_TIMEOUT", "greater than 0"]),
        ("GMP_CACHE_MEMORY_MAX_MB", "-1", ["GMP_CACHE_MEMORY_MAX_MB", "-1", "0"]),
        ("GMP_CACHE_DISK_TTL", "0", ["GMP_CACHE_DISK_TTL", "greater than 0"]),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    variable: str, value: str, parts: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(environ={variable: value})
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_times_are_finite(value: float) -> None:
    with pytest.raises(ConfigError):
        load_config(command_line={"timing.send_loop_interval": value})


def test_names_that_nobody_knows_are_refused_wherever_they_come_from(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[timing]\nsync_intervall = 1\n")
    for arguments, name in (
        ({"environ": {"GMP_PROT": "1"}}, "GMP_PROT"),
        ({"file": file}, "timing.sync_intervall"),
        ({"command_line": {"prot": 1}}, "prot"),
    ):
        with pytest.raises(ConfigError, match=name):
            load_config(**arguments)  # type: ignore[arg-type]


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: the configuration file does not exist"):
        load_config(file=tmp_path / "gone.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("port = = 1")
    with pytest.raises(ConfigError, match=r"broken\.toml: not TOML"):
        load_config(file=broken)
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"broken\.toml"):
        load_config(file=broken)


def test_secrets_show_neither_in_the_settings_nor_in_errors() -> None:
    environ = {"GMP_API_TOKEN": "hunter22", "GMP_CLIENT_SYNC_PASSWORD": "hunter22"}
    config = load_config(environ=environ).config
    assert config.api_token is not None
    assert config.api_token.get_secret_value() == "hunter22"
    assert "hunter22" not in repr(config)
    with pytest.raises(ConfigError) as caught:
        load_config(command_line={"client_sync.token": ["hunter22"]})
    assert "hunter22" not in str(caught.value)


def test_every_setting_is_described_and_has_a_variable_of_its_own() -> None:
    found = settings()
    assert all(s.description for s in found)
    variables = [v for s in found for v in s.variables]
    assert len(set(variables)) == len(variables)
    assert all(v.startswith("GMP_") for v in variables)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("mail.db", "sqlite:///mail.db"),
        ("/var/lib/mail.db", "sqlite:////var/lib/mail.db"),
        ("sqlite:////x.db", "sqlite:////x.db"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgres://u@h/d", "postgresql://u@h/d"),
    ],
)
def test_a_database_is_a_path_or_a_url(given: str, url: str) -> None:
    assert ProxyConfig(db_path=given).database_url == url


def test_two_names_of_one_setting_must_not_contradict_each_other() -> None:
    same = {"GMP_DB_PATH": "a.db", "GMP_DATABASE_URL": "a.db"}
    assert load_config(environ=same).config.db_path == "a.db"
    with pytest.raises(ConfigError, match="GMP_DB_PATH and GMP_DATABASE_URL"):
        load_config(environ={**same, "GMP_DATABASE_URL": "b.db"})


def test_a_login_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="must not hold user or password") as caught:
        load_config(environ={"GMP_CLIENT_SYNC_URL": "https://ann:hunter2@app.example/x"})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ValueError, match="must not hold user or password") as raised:
        ClientSyncConfig(url="https://ann:hunter2@app.example/x")
    assert "hunter2" not in str(raised.value)


def test_the_forms_of_the_log_are_known_in_any_case() -> None:
    config = load_config(environ={"GMP_LOG_LEVEL": "debug", "GMP_LOG_FORMAT": "JSON"}).config
    assert (config.log_level, config.log_format) == ("DEBUG", "json")
