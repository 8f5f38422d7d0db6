"""Genro Mail Proxy: a durable mail queue between applications and SMTP servers."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mail_proxy.config import ProxyConfig
    from mail_proxy.proxy import MailProxy

__all__ = ["MailProxy", "ProxyConfig"]

_HOMES = {"MailProxy": "mail_proxy.proxy", "ProxyConfig": "mail_proxy.config"}


def __getattr__(name: str) -> Any:
    # Imported when used: the client library and most commands do without the server.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
