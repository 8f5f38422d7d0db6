"""What the process knows that --reload starts."""

from __future__ import annotations

from pathlib import Path

from mail_proxy.cli.serving import as_environment
from mail_proxy.settings import load_config


def test_a_reloaded_process_has_every_option_of_the_command_line(tmp_path: Path) -> None:
    command_line = {
        "host": "127.0.0.2",
        "port": 0,
        "db_path": str(tmp_path / "mail.db"),
        "api_token": "the-token-of-the-command-line",
        "concurrency.workers": 3,
    }
    own = {"name": "shop", "key_file": str(tmp_path / "key")}
    config = load_config(command_line, defaults=own).config
    listening = config.model_copy(update={"port": 4321})
    environ = as_environment(listening, {**command_line, "debug": None})
    assert load_config(environ=environ).config == listening


def test_an_option_that_is_not_given_leaves_what_the_instance_knows(tmp_path: Path) -> None:
    config = load_config({"db_path": str(tmp_path / "mail.db")}).config
    environ = as_environment(config, {"db_path": None, "host": None})
    assert load_config(environ=environ).config.db_path == config.db_path


def test_an_instance_without_a_token_has_none_after_a_reload() -> None:
    config = load_config({"name": "shop"}).config
    assert load_config(environ=as_environment(config, {})).config == config
