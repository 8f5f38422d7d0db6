"""Hints in plain words: what to change when the test of an SMTP account fails."""

from __future__ import annotations

from collections.abc import Sequence

from mail_proxy.domain.account import SmtpLogin, TlsMode
from mail_proxy.domain.outcome import AccountTrouble

_IMPLICIT_TLS_PORT = 465
#: OpenSSL's text about a server that does not speak TLS from the start.
_NO_TLS = "WRONG_VERSION_NUMBER"
_USUAL = "Usual ports are 587 (tls: starttls) and 465 (tls: ssl)."
_AUTHORITY = (
    "The certificate is signed by an authority that this machine does not know. Install the "
    "authority's certificate on this machine, or set verify_cert to false if the network between "
    "this machine and the server is your own."
)
#: Parts of an error, and the hint for it. The first that is found counts.
_BY_TEXT = (
    ("allow_private_networks", "Ask the administrator to save the host, or to permit its network."),
    ("unable to get local issuer", _AUTHORITY),
    ("self-signed certificate", _AUTHORITY),
    ("self signed certificate", _AUTHORITY),
    (
        "Hostname mismatch",
        "The certificate is for another name. Use a name that is in the certificate as host.",
    ),
    (
        "IP address mismatch",
        "The certificate is for a name. Use the name instead of the IP address as host.",
    ),
    (
        "certificate has expired",
        "The server's certificate has expired; its operator must renew it.",
    ),
    (
        "does not offer STARTTLS",
        "Use tls: ssl if the server speaks TLS from the start, often on port 465.",
    ),
    (
        "TLS is not to be had",
        "The server offers no encryption here. Try port 465 with tls: ssl, or port 587.",
    ),
)


def other_modes(login: SmtpLogin, step: str, trouble: AccountTrouble) -> Sequence[TlsMode]:
    """Return the TLS modes that are worth a try after a failure.

    A server that waits for TLS sends no greeting, and one that does not answers it with text.
    """
    implicit = login.tls is TlsMode.SSL or (
        login.tls is TlsMode.AUTO and login.port == _IMPLICIT_TLS_PORT
    )
    if implicit:
        return (TlsMode.STARTTLS, TlsMode.NONE) if _NO_TLS in trouble.reason else ()
    silent = step == "connect" and trouble.code is None and trouble.stage != "dns"
    return (TlsMode.SSL,) if silent and "no connection" not in trouble.reason else ()


def of_the_mode(login: SmtpLogin, works: TlsMode) -> str:
    """Return the hint for a wrong TLS mode, if the mode ``works`` does."""
    found = {
        TlsMode.SSL: "speaks TLS from the start",
        TlsMode.STARTTLS: "speaks no TLS from the start, but offers STARTTLS",
        TlsMode.NONE: "speaks no TLS",
    }[works]
    return f"The server {found} on port {login.port}: use tls: {works}."


def of_trouble(login: SmtpLogin, trouble: AccountTrouble) -> str | None:
    """Return the hint for a failure of connection, TLS or log-in, or None."""
    for part, hint in _BY_TEXT:
        if part in trouble.reason:
            return hint
    match trouble.stage:
        case "dns":
            return f"There is no host {login.host}: check its spelling."
        case "connect":
            return (
                f"Nothing answers on port {login.port} of {login.host}: wrong port, or a firewall "
                f"on the way. {_USUAL}"
            )
        case "tls":
            return f"Encryption fails. {_USUAL}"
        case "auth":
            return _of_the_login(login, trouble)
        case "greeting" | "ehlo" if trouble.code is not None:
            return "The server refuses this machine. Ask its operator about the address."
        case "greeting" | "ehlo":
            return f"The answer is not SMTP: wrong host or port. {_USUAL}"
    return None


def _of_the_tokens(trouble: AccountTrouble) -> str:
    if "token server" in trouble.reason:
        return "No access token is to be had: check the account's auth and the token server."
    if "accounts authorize" in trouble.reason:
        return "The owner of the mailbox has to allow the access once."
    if trouble.code is None:
        return "The mail server takes no access tokens: check host and port."
    return (
        "The mail server refuses the access token: check user, scope, and whether the application "
        "may use this mailbox."
    )


def of_the_mail(reason: str) -> str:
    """Return the hint for a test mail that was not accepted."""
    if "relay" in reason.lower() or "sender" in reason.lower():
        return (
            "The account may not send from this address: log in, or use an address of the account."
        )
    return "The account works; the server refuses this mail for the reason shown."


def _of_the_login(login: SmtpLogin, trouble: AccountTrouble) -> str:
    if login.tokens is not None:
        return _of_the_tokens(trouble)
    if trouble.code == 535:
        return (
            "User or password is wrong. Large providers want an app password, or SMTP log-in has "
            "to be switched on for the mailbox."
        )
    if trouble.code == 534:
        return "The provider wants another kind of log-in, often an app password."
    if trouble.code == 530:
        return "The server wants TLS before the log-in: use tls: starttls."
    if trouble.code is None:
        return f"The server offers no log-in that the proxy knows on port {login.port}. {_USUAL}"
    return "The server refuses the log-in for the reason shown."
