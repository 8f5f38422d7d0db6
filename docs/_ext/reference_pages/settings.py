"""Generates the reference of settings from ``mail_proxy.config``."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import mail_proxy
from mail_proxy import config
from reference_pages.markdown import code, table

_NO_EFFECT = "*No effect in this version.*"


def render() -> str:
    parts = []
    for group, found in _by_group().items():
        rows = [_row(setting) for setting in found]
        parts += [_heading(group), "", table(["Setting", "Default", "Meaning"], rows), ""]
    return "\n".join(parts)


def unused() -> set[str]:
    """Return the names of settings that no code reads: those of features to come."""
    source = _source()
    names = {setting.dotted.rpartition(".")[2] for setting in config.settings()}
    return {name for name in names if not re.search(rf"\.{name}\b", source)}


@cache
def _source() -> str:
    root = Path(mail_proxy.__path__[0])
    return "\n".join(path.read_text() for path in root.rglob("*.py"))


def _by_group() -> dict[str, list[config.Setting]]:
    groups: dict[str, list[config.Setting]] = {}
    for setting in config.settings():
        groups.setdefault(setting.dotted.rpartition(".")[0], []).append(setting)
    return groups


def _heading(group: str) -> str:
    if not group:
        return "## Instance"
    model = config.ProxyConfig.model_fields[group].annotation
    assert model is not None
    return f"## {code(f'[{group}]')}\n\n{(model.__doc__ or '').strip()}"


def _row(setting: config.Setting) -> tuple[str, str, str]:
    name = setting.dotted.rpartition(".")[2]
    variables = "<br>".join(code(variable) for variable in setting.variables)
    note = f" {_NO_EFFECT}" if name in unused() else ""
    return f"{code(name)}<br>{variables}", _default(setting.default), setting.description + note


def _default(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, tuple):
        return code(", ".join(f"{v:g}" for v in value))
    return code(f"{value:.15g}" if isinstance(value, float) else value)
