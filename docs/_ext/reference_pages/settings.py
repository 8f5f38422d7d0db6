"""The settings, from ``mail_proxy.settings``."""

from __future__ import annotations

from typing import Any

from mail_proxy.config import ProxyConfig
from mail_proxy.settings import Setting, settings
from reference_pages.markdown import code, table


def render() -> str:
    parts = []
    for group, found in _by_group().items():
        rows = [_row(setting) for setting in found]
        parts += [_heading(group), "", table(["Setting", "Default", "Meaning"], rows), ""]
    return "\n".join(parts)


def _by_group() -> dict[str, list[Setting]]:
    groups: dict[str, list[Setting]] = {}
    for setting in settings():
        groups.setdefault(setting.dotted.rpartition(".")[0], []).append(setting)
    return groups


def _heading(group: str) -> str:
    if not group:
        return "## Instance"
    model = ProxyConfig.model_fields[group].annotation
    assert model is not None
    return f"## {code(f'[{group}]')}\n\n{(model.__doc__ or '').strip()}"


def _row(setting: Setting) -> tuple[str, str, str]:
    name = setting.dotted.rpartition(".")[2]
    variables = "<br>".join(code(variable) for variable in setting.variables)
    return f"{code(name)}<br>{variables}", _default(setting.default), setting.description


def _default(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, tuple):
        return code(", ".join(v if isinstance(v, str) else f"{v:g}" for v in value))
    return code(f"{value:.15g}" if isinstance(value, float) else value)
