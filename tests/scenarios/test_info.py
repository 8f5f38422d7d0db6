"""`mail-proxy NAME info`: every setting of an instance with its origin."""

from __future__ import annotations

import json
from typing import Any

from tests.harness.command_line import CommandLine

from mail_proxy.settings import settings


def test_info_shows_each_setting_with_its_origin_and_secrets_only_when_asked(
    mail_proxy: CommandLine,
) -> None:
    environment = {"GMP_CLIENT_SYNC_TOKEN": "token-of-the-application", "GMP_LOG_LEVEL": "WARNING"}
    instance = mail_proxy.instance("dev")
    instance.create({})
    instance.config_file.write_text("[queue]\nmax_body_mb = 12\n")
    running = mail_proxy.started("dev", **environment)

    def info(*words: str) -> dict[str, Any]:
        shown = mail_proxy("dev", "info", "--json", *words, **environment)
        assert shown.returncode == 0, shown.stderr
        return json.loads(shown.stdout)

    def setting(found: dict[str, Any], name: str) -> tuple[Any, str]:
        [row] = [row for row in found["settings"] if row["name"] == name]
        return row["value"], row["origin"]

    hidden, shown = info(), info("--show-secrets")
    assert (hidden["url"], hidden["folder"]) == (running.url, str(instance.folder))
    assert [row["name"] for row in hidden["settings"]] == [one.dotted for one in settings()]
    for found in (hidden, shown):
        assert setting(found, "port") == (running.port, "command line")
        assert setting(found, "log_level") == ("WARNING", "environment")
        assert setting(found, "queue.max_body_mb") == (12, "file")
        assert setting(found, "queue.max_enqueue_batch") == (1000, "default")
    token = instance.token()
    assert token not in json.dumps(hidden)
    assert environment["GMP_CLIENT_SYNC_TOKEN"] not in json.dumps(hidden)
    assert setting(hidden, "alerts.alert_secret") == (None, "default")
    assert setting(shown, "api_token")[0] == token
    assert setting(shown, "client_sync.token") == ("token-of-the-application", "environment")
    made, origin = setting(shown, "alerts.alert_secret")
    assert (made[:6], origin) == ("whsec_", "database")
    assert mail_proxy("stop", "dev").returncode == 0
    again = mail_proxy("info", "dev", "--show-secrets")
    assert made in again.stdout
    assert token not in mail_proxy("dev", "info").stdout
    alert_secret = {"GMP_ALERT_SECRET": "whsec_" + "A" * 32}
    given = json.loads(mail_proxy("dev", "info", "--json", **alert_secret).stdout)
    assert setting(given, "alerts.alert_secret") == ("********", "environment")


def test_info_hides_the_password_of_the_database(mail_proxy: CommandLine) -> None:
    mail_proxy.instance("dev").create({})
    database = {"GMP_DATABASE_URL": "postgresql://mail:secret-word@127.0.0.1:1/mail"}
    shown = mail_proxy("dev", "info", **database)
    assert "postgresql://mail:***@127.0.0.1:1/mail" in shown.stdout
    assert "secret-word" not in shown.stdout
