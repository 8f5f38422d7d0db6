"""Application of the outbox, for INSTALLED_APPS."""

from django.apps import AppConfig


class MailProxyConfig(AppConfig):
    """Application of Django whose tables begin with ``mail_proxy``."""

    name = "mail_proxy.contrib.django"
    label = "mail_proxy"
    verbose_name = "Mail proxy"
    default_auto_field = "django.db.models.BigAutoField"
