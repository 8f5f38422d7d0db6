"""Generates the reference of log lines from ``mail_proxy.telemetry.actions``."""

from __future__ import annotations

import logging
from typing import get_type_hints

from mail_proxy.telemetry.actions import ACTIONS
from mail_proxy.telemetry.log_fields import Fields
from reference_pages.markdown import code, table


def render() -> str:
    actions = [
        (
            code(action.word),
            logging.getLevelName(action.level).lower(),
            ", ".join(map(code, action.fields)),
            action.sentence,
        )
        for action in ACTIONS
    ]
    hints = get_type_hints(Fields, include_extras=True)
    fields = [(code(name), hint.__metadata__[0]) for name, hint in hints.items()]
    return "\n".join(
        [
            "## Actions\n",
            table(["Action", "Level", "Fields", "Meaning"], actions),
            "\n## Fields\n",
            table(["Field", "Meaning"], fields),
        ]
    )
