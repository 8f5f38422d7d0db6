"""Validate the URLs of applications that the proxy calls."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_FORM = re.compile(r"https?://[^\s\x00-\x1f\x7f]+")


def check_web_url(url: str) -> None:
    """Raise ValueError if the URL is unusable or contains a login.

    A login in a URL would be shown in every place that shows the URL.
    """
    if not _FORM.fullmatch(url):
        raise ValueError("must start with http:// or https:// and hold no blanks")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if not host:
        raise ValueError("must name a host")
    if "@" in parts.netloc:
        raise ValueError("must not hold user or password")
