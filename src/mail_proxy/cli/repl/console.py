"""Python console with ``proxy``: completion, tables, errors on one line."""

from __future__ import annotations

import code
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel

from mail_proxy.cli.output import complain, print_facts, print_line, print_table
from mail_proxy.cli.repl.members import ReplProxy
from mail_proxy.cli.repl.wrapper import repl_wrap
from mail_proxy.client import MailProxyClient
from mail_proxy.errors import MailProxyError

_BANNER = """\
{name}{tenant}: proxy.status(), .stats(), .run_now(), .suspend(), .activate(),
.messages, .tenants, .accounts, .suppressions, .storages, .dkim;
new_tenant(), new_account(), new_message() ask step by step. Tab completes; Ctrl-D ends."""
#: Fields that a table shows; of other models all that fit.
_COLUMNS = {
    "MessageOut": ("tenant_id", "id", "status", "sender", "to", "subject", "error"),
    "AccountOut": ("tenant_id", "id", "host", "port", "user", "health", "last_error"),
    "TenantOut": ("id", "name", "active", "client_base_url", "suspended_batches"),
}
_MOST_COLUMNS = 9
_FORMS = ("new_tenant", "new_account", "new_message")


class Console(code.InteractiveConsole):
    """Console whose errors of the service are one line, without a stack trace."""

    def showtraceback(self) -> None:
        """Print an error, with a stack trace if it is not the service's."""
        error = sys.exc_info()[1]
        if isinstance(error, MailProxyError):
            complain(error.message)
        else:
            super().showtraceback()


def run_console(client: MailProxyClient, name: str, tenant_id: str | None) -> None:
    """Read Python from stdin and run it until Ctrl-D."""
    proxy = repl_wrap(ReplProxy(client))
    members: dict[str, Any] = {"proxy": proxy, **{form: getattr(proxy, form) for form in _FORMS}}
    is_terminal = sys.stdin.isatty()
    banner = _BANNER.format(name=name, tenant=f"/{tenant_id}" if tenant_id else "")
    with _shown_prettily(prompts=is_terminal):
        if is_terminal:
            _complete(members)
        Console(members).interact(banner if is_terminal else "", exitmsg="")


def display(value: object) -> None:
    """Print a result: models as tables, None not at all."""
    if isinstance(value, BaseModel):
        fields = value.model_dump(mode="json", exclude_none=True)
        print_facts((field.replace("_", " "), _text(shown)) for field, shown in fields.items())
    elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
        columns = _columns(value)
        rows = [[_text(getattr(model, column)) for column in columns] for model in value]
        titles = [column.replace("_", " ").capitalize() for column in columns]
        print_table(titles, rows, wrapped=[titles[-1]])
    elif value is not None:
        print_line(repr(value))


def _columns(models: Sequence[BaseModel]) -> Sequence[str]:
    kind = type(models[0])
    return _COLUMNS.get(kind.__name__) or [*kind.model_fields][:_MOST_COLUMNS]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(_text(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


@contextmanager
def _shown_prettily(*, prompts: bool) -> Iterator[None]:
    before = sys.displayhook
    sys.displayhook = display
    sys.ps1, sys.ps2 = (">>> ", "... ") if prompts else ("", "")
    try:
        yield
    finally:
        sys.displayhook = before
        del sys.ps1, sys.ps2


def _complete(members: dict[str, Any]) -> None:
    """Complete names with Tab, where the library readline is there."""
    try:
        import readline
        import rlcompleter
    except ImportError:
        return
    readline.set_completer(rlcompleter.Completer(members).complete)
    readline.parse_and_bind("tab: complete")
