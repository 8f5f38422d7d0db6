"""Types of settings: their checks, and the words about a wrong value."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from mail_proxy.domain.helo_name import check_helo_name
from mail_proxy.domain.networks import network_name
from mail_proxy.domain.tenant import signing_key
from mail_proxy.domain.web_url import check_web_url

_ADDRESS = re.compile(r"[!-;=?A-~]{1,64}@[A-Za-z0-9.-]{1,253}")


def listed(value: Any) -> Any:
    """Return the entries of a text with commas; ``none`` has none."""
    if not isinstance(value, str):
        return value
    return [] if value.strip().lower() == "none" else [v.strip() for v in value.split(",")]


def _web_url(url: str) -> str:
    check_web_url(url)
    return url


def _name_server(address: str) -> str:
    try:
        parts = urlsplit(f"//{address}")
        ipaddress.ip_address(parts.hostname or "")
        is_good = parts.netloc == address and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ValueError("allowed: an IP address, or address:port; IPv6 in brackets")
    return address


def _host_and_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError("allowed: an address and a port, such as 127.0.0.1:2587 or [::]:587")
    return text


def mail_address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("allowed: one address such as ann@example.org, without a name")
    return text


def signing_secret(secret: SecretStr) -> SecretStr:
    signing_key(secret.get_secret_value())
    return secret


HeloName = Annotated[str, AfterValidator(check_helo_name)]
NetworkName = Annotated[str, AfterValidator(network_name)]
NameServer = Annotated[str, AfterValidator(_name_server)]
HostAndPort = Annotated[str, AfterValidator(_host_and_port)]
WebUrl = Annotated[str, AfterValidator(_web_url)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Group(BaseModel):
    """Group of settings; unknown names are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True
    )
