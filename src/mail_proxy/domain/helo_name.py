"""Validate the name that EHLO says."""

from __future__ import annotations

import ipaddress
import re

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
_ALLOWED = "must be a host name, or an address in square brackets: [192.0.2.1], [IPv6:2001:db8::1]"


def check_helo_name(name: str) -> str:
    """Return the name; raises ValueError if EHLO cannot say it.

    RFC 5321 section 4.1.1.1 describes what it can say.
    """
    if name.startswith("[") and name.endswith("]"):
        inner = name[1:-1]
        is_six = inner.upper().startswith("IPV6:")
        try:
            address = ipaddress.ip_address(inner[5:] if is_six else inner)
        except ValueError:
            raise ValueError(_ALLOWED) from None
        if (address.version == 6) is is_six:
            return name
    elif _NAME.fullmatch(name):
        return name
    raise ValueError(_ALLOWED)
