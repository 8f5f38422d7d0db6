"""Read the settings from command line, environment, ``config.toml`` and defaults.

``load_config`` returns the origin of each value. An earlier source in this order wins.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr, ValidationError

from mail_proxy.config import Group, ProxyConfig
from mail_proxy.errors import ConfigError

PREFIX = "GMP_"
#: Environment names that do not follow ``GMP_<SETTING>``.
_ALIASES = {
    "db_path": ("DB_PATH", "DATABASE_URL"),
    "name": ("INSTANCE_NAME",),
    "scheduler_active": ("SCHEDULER_ACTIVE", "START_ACTIVE"),
    "report_retention_seconds": ("DELIVERY_REPORT_RETENTION_SECONDS", "REPORT_RETENTION_SECONDS"),
    "batch_size": ("BATCH_SIZE_PER_ACCOUNT",),
    "url": ("CLIENT_SYNC_URL",),
    "user": ("CLIENT_SYNC_USER",),
    "password": ("CLIENT_SYNC_PASSWORD",),
    "token": ("CLIENT_SYNC_TOKEN",),
}
_LOGIN_IN_URL = re.compile(r"//.*@", re.DOTALL)
_NOT_SETTINGS = {"HOME", "CONFIG_FILE", "INSTANCE", "TENANT"}


@dataclass(frozen=True)
class LoadedConfig:
    """Settings, and the origin of each.

    Origins are ``command line``, ``environment``, ``file`` and ``default``.
    ``origins`` is keyed by dotted name, such as ``timing.sync_interval``.
    """

    config: ProxyConfig
    origins: Mapping[str, str]


@dataclass(frozen=True)
class Setting:
    """Name, environment variables, description and default of one setting.

    ``is_secret``: its type holds a SecretStr, so its value is not shown.
    """

    dotted: str
    variables: tuple[str, ...]
    description: str
    default: Any
    is_secret: bool


def settings() -> list[Setting]:
    """List all settings in the order of the model, groups flattened."""
    found = []
    for name, field in ProxyConfig.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, Group):
            for inner, inner_field in group.model_fields.items():
                found.append(_setting(f"{name}.{inner}", inner, inner_field))
        else:
            found.append(_setting(name, name, field))
    return found


def _setting(dotted: str, name: str, field: Any) -> Setting:
    names = _ALIASES.get(name, (name.upper(),))
    return Setting(
        dotted,
        tuple(PREFIX + n for n in names),
        field.description or "",
        field.get_default(),
        _holds_secret(field.annotation),
    )


def _holds_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(_holds_secret(part) for part in get_args(annotation))


def load_config(
    command_line: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> LoadedConfig:
    """Merge and validate the settings of all sources.

    Sources are keyed by dotted name, the environment by ``GMP_...``. ``defaults`` are those of an
    instance (its folder), weaker than everything else. None on the command line counts as not
    given. Raises ConfigError with the setting, the value and the allowed values, also for an
    unknown ``GMP_`` variable or key.
    """
    known = {s.dotted: s for s in settings()}
    values: dict[str, Any] = {}
    origins = dict.fromkeys(known, "default")
    from_environment = _from_environment(known, environ or {})
    for origin, source in (
        ("default", defaults or {}),
        ("file", _from_file(file, known) if file is not None else {}),
        ("environment", from_environment),
        ("command line", {k: v for k, v in (command_line or {}).items() if v is not None}),
    ):
        for dotted, value in source.items():
            if dotted not in known:
                raise ConfigError(f"{dotted}: unknown setting")
            values[dotted] = value
            origins[dotted] = origin
    return LoadedConfig(_build(values, known), origins)


def _from_environment(known: Mapping[str, Setting], environ: Mapping[str, str]) -> dict[str, str]:
    by_variable = {v: s.dotted for s in known.values() for v in s.variables}
    found: dict[str, str] = {}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable[len(PREFIX) :] in _NOT_SETTINGS:
            continue
        if variable not in by_variable:
            raise ConfigError(f"{variable}: unknown setting in the environment")
        if value != "":
            dotted = by_variable[variable]
            if found.setdefault(dotted, value) != value:
                names = " and ".join(known[dotted].variables)
                raise ConfigError(f"{names} are the same setting and have different values")
    return found


def _from_file(file: Path, known: Mapping[str, Setting]) -> dict[str, Any]:
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{file.name}: the configuration file does not exist") from None
    except OSError as error:
        raise ConfigError(f"{file.name}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file.name}: not TOML: {error}") from None
    groups = {dotted.split(".")[0] for dotted in known if "." in dotted}
    found = {}
    for key, value in tree.items():
        if key in groups and isinstance(value, dict):
            found.update({f"{key}.{inner}": v for inner, v in value.items()})
        else:
            found[key] = value
    return found


def _build(values: Mapping[str, Any], known: Mapping[str, Setting]) -> ProxyConfig:
    tree: dict[str, Any] = {}
    for dotted, value in values.items():
        group, _, inner = dotted.rpartition(".")
        (tree.setdefault(group, {}) if group else tree)[inner] = value
    scheme, found, _ = str(tree.get("db_path", "")).partition("://")
    if found and scheme not in ("sqlite", "postgres", "postgresql"):
        allowed = "a path, sqlite:///path, postgresql://"
        raise ConfigError(f"db_path (GMP_DB_PATH) = {scheme}:...: allowed: {allowed}")
    try:
        return ProxyConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(e, known) for e in error.errors())) from None


def _explain(error: Any, known: Mapping[str, Setting]) -> str:
    parts = [str(p) for p in error["loc"]]
    setting = known.get(".".join(parts[:2])) or known.get(parts[0])
    variable = f" ({setting.variables[0]})" if setting else ""
    is_secret = setting is not None and setting.is_secret
    value = "********" if is_secret else _LOGIN_IN_URL.sub("//********@", repr(error["input"]))
    message = error["msg"].removeprefix("Value error, ")
    return f"{'.'.join(parts)}{variable} = {value}: {message}"
