"""The reference pages know everything that the code knows."""

from __future__ import annotations

import logging
import re

import pytest
from sphinx.errors import ExtensionError
from tests.docs.pages import ROOT

from mail_proxy.settings import settings
from mail_proxy.telemetry.actions import ACTIONS
from mail_proxy.telemetry.log_fields import Fields
from mail_proxy.telemetry.metrics import MailMetrics
from mail_proxy.telemetry.series import ALL
from reference_pages import RENDERERS, commands, errors, fill, rest


def page(name: str) -> str:
    return fill((ROOT / "docs" / "reference" / f"{name}.md").read_text())


def test_every_setting_is_there_with_its_variables_and_meaning() -> None:
    text = page("settings")
    for setting in settings():
        name = setting.dotted.rpartition(".")[2]
        variables = "<br>".join(f"`{v}`" for v in setting.variables)
        assert f"| `{name}`<br>{variables} |" in text
        assert setting.description in text


def test_every_setting_is_read_somewhere() -> None:
    root = ROOT / "src" / "mail_proxy"
    source = "\n".join(path.read_text() for path in root.rglob("*.py"))
    names = {setting.dotted.rpartition(".")[2] for setting in settings()}
    assert {name for name in names if not re.search(rf"\.{name}\b", source)} == set()


def test_every_route_is_there() -> None:
    text = page("rest")
    specification = rest.specification()
    routes = [(m.upper(), p) for p, methods in specification["paths"].items() for m in methods]
    assert ("POST", "/commands/add-messages") in routes
    for method, path in routes:
        assert f"### `{method} {path}`\n" in text


def test_routes_say_which_token_they_ask_for() -> None:
    text = page("rest")
    for title, token in (
        ("GET /health", "none"),
        ("GET /messages", "tenant or admin"),
        ("POST /tenant", "admin"),
    ):
        section = text.split(f"### `{title}`\n")[1].split("###")[0]
        assert f"Token: {token} " in section


def test_every_field_of_a_message_is_there() -> None:
    section = page("rest").split("### MessageIn\n")[1].split("###")[0]
    for field in rest.specification()["components"]["schemas"]["MessageIn"]["properties"]:
        assert f"| `{field}`" in section


def test_every_error_is_there() -> None:
    text = page("errors")
    for error in errors.found():
        assert f"| `{error.__name__}` | `{error.code}` | {error.http_status} |" in text


def test_every_series_is_there_with_all_that_is_known_of_it() -> None:
    text = page("metrics")
    lines = MailMetrics().text().decode().splitlines()
    scraped = [tuple(line.split()[2:]) for line in lines if line.startswith("# TYPE")]
    assert ("gmp_sent_total", "counter") in scraped
    assert [(series.name, series.kind) for series in ALL] == scraped
    for series in ALL:
        labels = ", ".join(f"`{label}`" for label in series.labels) or "none"
        row = f"| `{series.name}` | {series.kind} | {series.unit} | {labels} | {series.help} |"
        assert row in text
    for series in ALL:
        bounds = ", ".join(f"{bound:g}" for bound in series.buckets)
        assert not bounds or f"| `{series.name}` | {bounds} |" in text


def test_every_log_line_is_there_with_its_level_fields_and_meaning() -> None:
    text = page("logs")
    for action in ACTIONS:
        fields = ", ".join(f"`{field}`" for field in action.fields)
        level = logging.getLevelName(action.level).lower()
        assert f"| `{action.word}` | {level} | {fields} | {action.sentence} |" in text
    for field in Fields.__annotations__:
        assert f"\n| `{field}` | " in text


@pytest.mark.parametrize("name", RENDERERS)
def test_every_generated_part_has_its_page(name: str) -> None:
    assert (
        f"\n<!-- generated: {name} -->\n"
        in (ROOT / "docs" / "reference" / f"{name}.md").read_text()
    )


def test_a_misspelt_part_stops_the_build() -> None:
    with pytest.raises(ExtensionError, match="settings, rest"):
        fill("<!-- generated: setings -->")


def test_every_command_is_there_with_its_options() -> None:
    text = page("commands")
    assert {"list", "start", "messages show", "keys rotate"} <= set(commands.titles())
    for title in commands.titles():
        assert f"\n## {title}\n" in text
    section = text.split("\n## messages list\n")[1].split("\n## ")[0]
    assert "mail-proxy NAME TENANT messages list [OPTIONS]" in section
    assert "| `--limit`, `-n` | Most messages to show. | `100` |" in section
    assert "mail-proxy NAME TENANT suspend [BATCH]" in text
