"""Folders and files of an instance."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest

from mail_proxy.cli.instance import Instance
from mail_proxy.cli.names import is_name
from mail_proxy.encryption import KEY_VARIABLE, generate_key
from mail_proxy.errors import ConfigError, Conflict, Malformed, NotFound
from mail_proxy.settings import settings


@pytest.mark.parametrize("name", ["dev", "a", "7", "mail-1.prod_eu", "x" * 64, "LIST"])
def test_names_that_are_allowed(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".dev", "-dev", "_dev", "a/b", "a b", "dev\n", "è", "x" * 65, "list", "demo"],
)
def test_names_that_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(Malformed) as refused:
        Instance(name, tmp_path)
    assert repr(name) in refused.value.message
    assert refused.value.exit_code == 2


def test_only_the_user_can_read_what_is_made(tmp_path: Path) -> None:
    instance = Instance("dev", tmp_path)
    instance.create({})
    assert _mode(instance.folder) == 0o700
    for file in (instance.config_file, instance.token_file, instance.key_file):
        assert _mode(file) == 0o600
    assert len(instance.key_file.read_bytes()) == 32
    assert len(instance.token() or "") == 43


def test_making_it_again_changes_nothing(tmp_path: Path) -> None:
    instance = Instance("dev", tmp_path)
    instance.create({})
    before = {file.name: file.read_bytes() for file in instance.folder.iterdir()}
    instance.create({})
    assert {file.name: file.read_bytes() for file in instance.folder.iterdir()} == before


def test_a_lost_key_is_not_replaced_but_a_lost_token_is(tmp_path: Path) -> None:
    instance = Instance("dev", tmp_path)
    instance.create({})
    instance.key_file.unlink()
    instance.token_file.unlink()
    instance.create({})
    assert not instance.key_file.exists()
    assert instance.token()


def test_no_key_is_made_where_the_environment_has_one(tmp_path: Path) -> None:
    instance = Instance("dev", tmp_path)
    instance.create({KEY_VARIABLE: generate_key()})
    assert not instance.key_file.exists()


def test_the_settings_file_shows_every_setting_and_changes_none(tmp_path: Path) -> None:
    instance = Instance("dev", tmp_path)
    instance.create({})
    text = instance.config_file.read_text()
    assert all(not table for table in tomllib.loads(text).values())
    for setting in settings():
        if setting.dotted not in ("name", "api_token"):
            assert f"# {setting.dotted.rpartition('.')[2]} = " in text


def test_every_hint_in_the_settings_file_is_a_setting_once_it_is_no_comment(
    tmp_path: Path,
) -> None:
    instance = Instance("dev", tmp_path)
    instance.create({})
    hints = [
        line.removeprefix("# ") if " = " in line and not line.endswith('"..."') else line
        for line in instance.config_file.read_text().splitlines()
    ]
    instance.config_file.write_text("\n".join(hints))
    loaded = instance.load_config({}, {})
    assert loaded.origins["timing.sync_interval"] == "file"
    assert loaded.config.db_path == str(instance.database)


def test_the_folder_gives_the_defaults(tmp_path: Path) -> None:
    instance = Instance("dev", tmp_path)
    instance.create({})
    loaded = instance.load_config(None, {})
    config = loaded.config
    assert config.name == "dev"
    assert config.db_path == str(tmp_path / "dev" / "mail_service.db")
    assert config.key_file == tmp_path / "dev" / "encryption_key"
    assert config.api_token is not None
    assert config.api_token.get_secret_value() == instance.token()
    assert loaded.origins["db_path"] == "default"


def test_the_command_line_is_stronger_than_the_environment_and_that_than_the_file(
    tmp_path: Path,
) -> None:
    instance = Instance("dev", tmp_path)
    instance.create({})
    instance.config_file.write_text('host = "::1"\nport = 1\napi_token = "from the file"\n')
    loaded = instance.load_config({"port": 3, "host": None}, {"GMP_PORT": "2"})
    assert (loaded.config.port, loaded.config.host) == (3, "::1")
    assert loaded.config.api_token is not None
    assert loaded.config.api_token.get_secret_value() == "from the file"


def test_another_settings_file_can_be_named(tmp_path: Path) -> None:
    instance = Instance("dev", tmp_path)
    instance.create({})
    other = tmp_path / "other.toml"
    other.write_text("port = 4\n")
    assert instance.load_config({}, {"GMP_CONFIG_FILE": str(other)}).config.port == 4
    with pytest.raises(ConfigError):
        instance.load_config({}, {"GMP_CONFIG_FILE": str(tmp_path / "nowhere.toml")})


def test_an_empty_token_on_the_command_line_means_none(tmp_path: Path) -> None:
    instance = Instance("dev", tmp_path)
    instance.create({})
    assert instance.load_config({"api_token": ""}, {}).config.api_token is None


def test_instances_are_found_by_name(tmp_path: Path) -> None:
    environ = {"GMP_HOME": str(tmp_path)}
    for name in ("two", "one"):
        Instance(name, tmp_path).create(environ)
    (tmp_path / "not-an-instance").mkdir()
    (tmp_path / ".hidden").mkdir()
    assert [i.name for i in Instance.all(environ)] == ["one", "two"]
    assert Instance.existing("one", environ).folder == tmp_path / "one"
    with pytest.raises(NotFound):
        Instance.existing("not-an-instance", environ)


def test_there_is_no_instance_before_the_first(tmp_path: Path) -> None:
    assert Instance.all({"GMP_HOME": str(tmp_path / "nowhere")}) == []


def test_a_running_instance_is_not_deleted(tmp_path: Path) -> None:
    instance = Instance("dev", tmp_path)
    instance.create({})
    with instance.pid_file.hold(), pytest.raises(Conflict):
        instance.delete()
    assert instance.exists()
    instance.delete()
    assert not instance.folder.exists()


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


POSTGRESQL = "postgresql://mail:secret@db.example/mail"


def load(instance: Instance, **environ: str) -> None:
    instance.load_own_config(None, environ)


def test_the_database_of_the_first_start_is_remembered(tmp_path: Path) -> None:
    instance = Instance("dev", tmp_path)
    instance.create({})
    load(instance, GMP_DB_PATH=POSTGRESQL)  # none is remembered yet
    instance.remembered_database.remember(POSTGRESQL)
    assert tomllib.loads(instance.config_file.read_text())["db_path"] == POSTGRESQL
    assert _mode(instance.config_file) == 0o600
    assert instance.load_own_config(None, {}).config.database_url == POSTGRESQL


@pytest.mark.parametrize(
    "same",
    [
        POSTGRESQL,
        "postgres://mail:changed@db.example:5432/mail",
        "postgresql://mail@db.example/mail",
    ],
)
def test_the_same_database_may_be_named_in_other_words(tmp_path: Path, same: str) -> None:
    instance = Instance("dev", tmp_path)
    instance.create({})
    instance.remembered_database.remember(POSTGRESQL)
    load(instance, GMP_DATABASE_URL=same)


@pytest.mark.parametrize(
    "other", ["postgresql://mail@db.example/other", "postgresql://mail@db2.example/mail", "mail.db"]
)
def test_another_database_is_refused(tmp_path: Path, other: str) -> None:
    instance = Instance("dev", tmp_path)
    instance.create({})
    instance.remembered_database.remember(POSTGRESQL)
    with pytest.raises(Conflict) as refused:
        load(instance, GMP_DB_PATH=other)
    said = refused.value.message
    assert "secret" not in said
    assert all(word in said for word in ("db.example/mail", other, "--new-database", "environment"))


def test_the_own_file_is_remembered_once_it_is_there(tmp_path: Path) -> None:
    instance = Instance("dev", tmp_path)
    instance.create({})
    instance.database.touch()
    instance.remembered_database.remember(str(instance.database))
    assert "db_path" not in tomllib.loads(instance.config_file.read_text())
    with pytest.raises(Conflict, match=r"mail_service\.db"):
        load(instance, GMP_DB_PATH=POSTGRESQL)


def test_a_new_database_replaces_the_remembered_one(tmp_path: Path) -> None:
    instance = Instance("dev", tmp_path)
    instance.create({})
    instance.remembered_database.remember(POSTGRESQL)
    environ = {"GMP_DB_PATH": str(tmp_path / "new.db")}
    loaded = instance.load_own_config(None, environ, new_database=True)
    instance.remembered_database.remember(loaded.config.db_path)
    assert tomllib.loads(instance.config_file.read_text())["db_path"] == str(tmp_path / "new.db")
    load(instance)
