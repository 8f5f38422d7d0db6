"""Dashboard and alert rules speak of series that exist, in words that Prometheus understands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docs.pages import ROOT, anchors

from mail_proxy.telemetry.metrics import AccountState, MailMetrics
from mail_proxy.telemetry.series import ALL
from mail_proxy.wire.sync_log import CallOutcome

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = PROMETHEUS / "mail-proxy.rules.yml"
RULE_TESTS = PROMETHEUS / "mail-proxy.rules.test.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "mail-proxy.json"
GUIDE = ROOT / "docs" / "howto" / "monitoring.md"
#: What Prometheus itself adds to every series.
_OF_THE_TARGET = {"job", "instance"}
_LABELS = {
    name: {*series.labels, *_OF_THE_TARGET, *more}
    for series in ALL
    for name, more in (
        (
            (f"{series.name}_bucket", ("le",)),
            (f"{series.name}_count", ()),
            (f"{series.name}_sum", ()),
        )
        if series.kind == "histogram"
        else ((series.name, ()),)
    )
} | {"up": _OF_THE_TARGET}
_SELECTOR = re.compile(r"\b(gmp_\w+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")


@pytest.fixture(scope="session")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        missing = "promtool is missing: it comes with Debian's package prometheus"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def accepted(*command: str | Path, given: bytes | None = None) -> str:
    """What a command says that must succeed."""
    done = subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def targets() -> Iterator[tuple[str, str, str]]:
    """Title, expression and legend of each query."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]


def unknown(expression: str, legend: str = "") -> list[str]:
    """Names and labels in an expression that no scrape has."""
    used = _SELECTOR.findall(expression)
    assert used, expression
    wrong = [name for name, _ in used if name not in _LABELS]
    wrong += [
        f"{name}: {label}"
        for name, matchers in used
        for label in _MATCHER.findall(matchers)
        if label not in _LABELS.get(name, ())
    ]
    # Whatever is grouped by, every series in the expression has to have.
    common = set.intersection(*(_LABELS.get(name, set()) for name, _ in used))
    grouped = [
        label.strip() for group in _GROUPING.findall(expression) for label in group.split(",")
    ]
    shown = re.findall(r"\{\{\s*(\w+)\s*\}\}", legend)
    return wrong + [label for label in (*grouped, *shown) if label not in common]


def test_alerts_name_what_exists() -> None:
    assert [(rule["alert"], wrong) for rule in alerts() if (wrong := unknown(rule["expr"]))] == []


def test_the_dashboard_names_what_exists() -> None:
    wrong = [(title, unknown(expression, legend)) for title, expression, legend in targets()]
    assert [found for found in wrong if found[1]] == []
    used = {name for _, expression, _ in targets() for name, _ in _SELECTOR.findall(expression)}
    bases = {re.sub("_(bucket|count|sum)$", "", name) for name in used}
    assert bases == {series.name for series in ALL}


@pytest.mark.parametrize(
    "wrong",
    [
        "gmp_snet_total > 0",
        "gmp_delivery_seconds > 0",
        'gmp_sent_total{tenant="t"} > 0',
        "sum by (phase) (gmp_sent_total)",
        "sum by (phase) (gmp_smtp_seconds_count) / sum by (phase) (gmp_sent_total)",
    ],
)
def test_what_does_not_exist_would_be_noticed(wrong: str) -> None:
    assert unknown(wrong) != []


def test_outcomes_that_are_asked_for_exist() -> None:
    text = RULES.read_text() + " ".join(expression for _, expression, _ in targets())
    asked = set(re.findall(r'outcome!?="(\w+)"', text))
    assert asked == {"ok"} <= set(CallOutcome)


def test_labels_in_the_words_of_an_alert_are_those_of_its_expression() -> None:
    for rule in alerts():
        groups = _GROUPING.findall(rule["expr"])
        kept = {label.strip() for group in groups for label in group.split(",")} or _OF_THE_TARGET
        named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        assert named <= kept, rule["alert"]


def test_every_alert_says_what_to_do_and_where_it_is_explained() -> None:
    explained = anchors(GUIDE.read_text())
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description", "runbook_url"} == rule["annotations"].keys()
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page.endswith(f"/{GUIDE.relative_to(ROOT)}")
        assert anchor == rule["alert"].lower() and anchor in explained


def test_every_alert_is_seen_to_fire_and_to_keep_still() -> None:
    tests = yaml.safe_load(RULE_TESTS.read_text())["tests"]
    still = {case["alertname"] for test in tests for case in test.get("alert_rule_test", ())}
    fired = {
        name
        for test in tests
        for case in test.get("promql_expr_test", ())
        for sample in case["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', sample["labels"])
    }
    assert still == fired == {rule["alert"] for rule in alerts()}


def test_prometheus_takes_rules_and_configuration(promtool: str) -> None:
    accepted(promtool, "check", "rules", RULES)
    accepted(promtool, "check", "config", PROMETHEUS / "prometheus.yml")


def test_the_rules_do_what_they_are_there_for(promtool: str) -> None:
    accepted(promtool, "test", "rules", RULE_TESTS)


def test_prometheus_understands_every_query_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, (_, expression, _) in enumerate(targets())
    ]
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in accepted(promtool, "check", "rules", file)


def test_prometheus_finds_nothing_to_say_about_a_scrape(promtool: str) -> None:
    metrics = MailMetrics()
    metrics.announce([AccountState("t", 'an "account"')], [("t", "ok")])
    metrics.delivery.of("t", 'an "account"').observe(3)
    metrics.http.of("/messages", "GET", "200").observe(0.01)
    metrics.queue.of("low").set(1)
    metrics.backlog_unknown()
    metrics.build_info.of("1", "2", "sqlite").set(1)
    assert accepted(promtool, "check", "metrics", given=metrics.text()) == ""


def test_the_dashboard_hangs_together() -> None:
    board = dashboard()
    panels = board["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    declared = {variable["name"] for variable in board["templating"]["list"]}
    assert {"datasource", "tenant"} <= declared
    text = json.dumps(board)
    used = set(re.findall(r"\$\{?(\w+)\}?", text)) - {"__rate_interval", "__all"}
    assert used == declared
    assert {panel["datasource"]["uid"] for panel in panels if "targets" in panel} == {
        "${datasource}"
    }
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            inner = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
            assert inner is not None
            assert unknown(f"sum by ({inner[2]}) ({inner[1]})") == []
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
