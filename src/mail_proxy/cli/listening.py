"""Opens the listening socket of an instance, and builds its local URL."""

from __future__ import annotations

import errno
import socket

from mail_proxy.domain.networks import is_loopback
from mail_proxy.errors import ConfigError, MailProxyError
from mail_proxy.settings import LoadedConfig

_PORTS_TRIED = 100
_BACKLOG = 2048


def open_socket(loaded: LoadedConfig) -> socket.socket:
    """Open a listening socket for the host and port of the settings.

    If the default port is in use, the next free one is taken. A configured port is never replaced,
    because clients rely on it. Raises ConfigError for a host that cannot be listened on.
    """
    config = loaded.config
    is_chosen = loaded.origins["port"] != "default"
    last = config.port if is_chosen else min(config.port + _PORTS_TRIED - 1, 65535)
    for port in range(config.port, last + 1):
        try:
            return _listen(config.host, port)
        except socket.gaierror as error:
            raise ConfigError(f"host (GMP_HOST) = {config.host!r}: {error.strerror}") from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                where = f"{config.host}:{port}"
                raise ConfigError(f"cannot listen on {where}: {error.strerror}") from None
    if is_chosen:
        raise MailProxyError(
            f"port {config.port} of {config.host} is in use by another program; "
            "choose another --port, or leave it out to get the next free one"
        )
    raise MailProxyError(f"ports {config.port} to {last} of {config.host} are all in use")


def refuse_open_doors(loaded: LoadedConfig) -> None:
    """Raise ConfigError if an instance without a token would listen beyond loopback."""
    config = loaded.config
    if config.api_token is None and not is_loopback(config.host):
        raise ConfigError(
            f"host (GMP_HOST) = {config.host!r}: without a token an instance listens on "
            "loopback only; set api_token (GMP_API_TOKEN), or leave the host at 127.0.0.1"
        )


def local_url(host: str, port: int) -> str:
    """Return a URL that works on this machine, also if ``host`` means every address."""
    reachable = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        # At once: with SO_REUSEADDR, a port that is bound but not listening is not taken.
        opened.listen(_BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened
