"""Settings of the Django integration."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from mail_proxy.client import MailProxyClient, Retries

_DEFAULTS: dict[str, Any] = {
    "MAIL_PROXY_URL": "http://127.0.0.1:8000",
    "MAIL_PROXY_TOKEN": None,
    "MAIL_PROXY_TENANT_ID": None,
    "MAIL_PROXY_ACCOUNT_ID": None,
    "MAIL_PROXY_TIMEOUT_SECONDS": 30.0,
    "MAIL_PROXY_SIGNING_SECRET": None,
}

_USUAL = Retries()


def setting(name: str) -> Any:
    """Return a setting ``MAIL_PROXY_...`` of the project, or its default."""
    return getattr(settings, name, _DEFAULTS[name])


def signing_secret() -> str:
    """Return the secret of report calls. Raises ImproperlyConfigured if there is none."""
    found = setting("MAIL_PROXY_SIGNING_SECRET")
    if not found:
        raise ImproperlyConfigured(
            "MAIL_PROXY_SIGNING_SECRET is not set: it is the tenant's signing_secret (whsec_...)"
        )
    return str(found)


def new_client(retries: Retries = _USUAL) -> MailProxyClient:
    """Make a client of the service that the settings name."""
    return MailProxyClient(
        setting("MAIL_PROXY_URL"),
        setting("MAIL_PROXY_TOKEN"),
        tenant_id=setting("MAIL_PROXY_TENANT_ID"),
        timeout=setting("MAIL_PROXY_TIMEOUT_SECONDS"),
        retries=retries,
    )
