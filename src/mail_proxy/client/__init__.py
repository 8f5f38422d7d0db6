"""Client library of the REST interface, blocking and asynchronous.

``MailProxyClient`` and ``AsyncMailProxyClient`` load no code of the server.
"""

from mail_proxy.client.clients import AsyncMailProxyClient, MailProxyClient
from mail_proxy.client.errors import BadSignature, NoAnswer
from mail_proxy.client.fields import (
    AccountFields,
    AccountTestFields,
    Attachment,
    ClientAuth,
    Message,
    RateLimits,
    RawMessage,
    SettingFields,
    TenantFields,
)
from mail_proxy.client.retries import Retries
from mail_proxy.client.webhooks import Report, verify_reports

__all__ = [
    "AccountFields",
    "AccountTestFields",
    "AsyncMailProxyClient",
    "Attachment",
    "BadSignature",
    "ClientAuth",
    "MailProxyClient",
    "Message",
    "NoAnswer",
    "RateLimits",
    "RawMessage",
    "Report",
    "Retries",
    "SettingFields",
    "TenantFields",
    "verify_reports",
]
