"""Django integration: e-mail backend, transactional outbox, view for reports.

Settings: ``EMAIL_BACKEND = "mail_proxy.contrib.django.EmailBackend"``, ``MAIL_PROXY_URL``,
``MAIL_PROXY_TOKEN``, and ``MAIL_PROXY_SIGNING_SECRET`` for reports.
"""

from mail_proxy.contrib.django.backend import EmailBackend, NotQueued, OutboxBackend

__all__ = ["EmailBackend", "NotQueued", "OutboxBackend"]
