"""The listed set of log lines, and the source that writes them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_type_hints

import mail_proxy
from mail_proxy.telemetry.actions import ACTIONS, Action, ServiceAction
from mail_proxy.telemetry.log_fields import Fields
from mail_proxy.telemetry.logged_action import LoggedAction

SOURCE = Path(mail_proxy.__path__[0])
FIELDS = set(get_type_hints(Fields))
#: What ``log`` makes of its parameter ``exception``.
OF_EXCEPTION = {"error", "trace"}
_KINDS: dict[str, type[LoggedAction]] = {"Action": Action, "ServiceAction": ServiceAction}


class Call(NamedTuple):
    """A call of ``log`` in the source."""

    place: str
    actions: set[LoggedAction]
    fields: set[str]


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE), ast.parse(path.read_text())


def calls() -> Iterator[Call]:
    for path, tree in modules():
        tables = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "log":
                first = node.args[0]
                if isinstance(first, ast.Subscript):
                    assert isinstance(first.value, ast.Name)
                    first = tables[first.value.id]
                names = {k.arg for k in node.keywords}
                fields = (names - {"exception"}) | (OF_EXCEPTION if "exception" in names else set())
                assert None not in fields, f"{path}:{node.lineno}: fields are to be spelled out"
                yield Call(
                    f"{path}:{node.lineno}", set(actions_in(first)), {str(f) for f in fields}
                )


def actions_in(tree: ast.AST) -> Iterator[LoggedAction]:
    for node in ast.walk(tree):
        kind = isinstance(node, ast.Attribute) and _KINDS.get(getattr(node.value, "id", ""))
        if kind:
            yield kind[node.attr]


def test_every_line_has_an_action_and_only_the_fields_that_are_listed_for_it() -> None:
    found = list(calls())
    assert len(found) > 30
    for call in found:
        assert call.actions, call.place
        listed = {field for action in call.actions for field in action.fields}
        assert call.fields <= listed | {"request_id"}, call.place


def test_every_listed_action_and_field_is_written_somewhere() -> None:
    written: dict[LoggedAction, set[str]] = {
        ServiceAction.LIBRARY_SAID: {"logger", "text", *OF_EXCEPTION}
    }
    for call in calls():
        for action in call.actions:
            written.setdefault(action, set()).update(call.fields)
    assert set(ACTIONS) == set(written)
    for action, fields in written.items():
        assert set(action.fields) <= fields, action


def test_nothing_else_writes_to_the_log() -> None:
    for path, tree in modules():
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        # The command line silences uvicorn where it tells an error itself. Integrations run in an
        # application, and write to its log.
        allowed = path.parts[0] in ("telemetry", "contrib") or path == Path("cli/serving.py")
        assert "logging" not in imported or allowed, path


def test_names_and_sentences_are_in_one_form() -> None:
    words = [action.word for action in ACTIONS]
    assert len(set(words)) == len(words)
    for action in ACTIONS:
        assert action.word == action.name.lower().replace("_", ".", 1)
        assert action.sentence[0].isupper()
        assert action.sentence.isprintable()
        assert not action.sentence.endswith(".")
        assert len(action.sentence) <= 85
        assert set(action.fields) <= FIELDS, action


def test_every_field_is_of_some_action() -> None:
    assert {field for action in ACTIONS for field in action.fields} | {"request_id"} == FIELDS
