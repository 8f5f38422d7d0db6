"""Genro Mail Proxy: a durable mail queue between applications and SMTP servers."""

from mail_proxy.config import ProxyConfig
from mail_proxy.proxy import MailProxy

__all__ = ["MailProxy", "ProxyConfig"]
