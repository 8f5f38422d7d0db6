"""A small Django project: settings, URLs, and its WSGI application."""

from __future__ import annotations

from pathlib import Path

import django
from django.conf import settings


def configure(folder: Path) -> None:
    """Configure Django once for the process."""
    if settings.configured:
        return
    settings.configure(
        SECRET_KEY="x",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="tests.contrib.django_urls",
        INSTALLED_APPS=["mail_proxy.contrib.django"],
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "app.db")}
        },
        EMAIL_BACKEND="mail_proxy.contrib.django.EmailBackend",
        USE_TZ=True,
    )
    django.setup()
