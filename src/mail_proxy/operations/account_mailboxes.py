"""Mailboxes of PEC accounts: how they are reached, and by which secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mail_proxy.domain.account import TlsMode
from mail_proxy.domain.networks import is_loopback
from mail_proxy.domain.oauth2 import OAuth2Settings, TokenLogin
from mail_proxy.imap import ImapLogin
from mail_proxy.operations.callers import Caller
from mail_proxy.operations.places import private_allowed
from mail_proxy.sql.table import Damaged, Row
from mail_proxy.wire.accounts import DEFAULT_IMAP_PORT, AccountIn
from mail_proxy.wire.bound_secrets import Usual, usual_host
from mail_proxy.wire.mistakes import malformed, mistake
from mail_proxy.wire.secrets import MASK

#: Option of an account: the administrator saved its IMAP host, which may be at any address.
_ALLOWED = "imap_private_allowed"


def mailbox_login(row: Row) -> ImapLogin | None:
    """Return the login at the mailbox of a PEC account; None if it has no mailbox.

    Raises ValueError with the reason if the secret is damaged or missing.
    """
    if not row["is_pec_account"] or not row.get("imap_host"):
        return None
    user = row.get("imap_user") or row.get("smtp_user")
    password = row.get("imap_password") or row.get("password")
    tokens = None if row.get("imap_password") else _tokens(row)
    if tokens is not None:
        password = ""
    if not user or (tokens is None and not password):
        raise ValueError("imap_user and imap_password, or user and password, are required")
    if not isinstance(password, str):
        raise ValueError(getattr(password, "reason", "the password is damaged"))
    return ImapLogin(
        host=row["imap_host"],
        port=row["imap_port"] or DEFAULT_IMAP_PORT,
        user=user,
        password=password,
        tls=_tls(row),
        verify_cert=row["verify_cert"],
        private_allowed=bool((row["options"] or {}).get(_ALLOWED)),
        tokens=tokens,
    )


def _tokens(row: Row) -> TokenLogin | None:
    """Return the log-in with access tokens, if the account has one."""
    auth = row.get("auth")
    if isinstance(auth, Damaged):
        raise ValueError(auth.reason)
    user = row.get("imap_user") or row.get("smtp_user")
    settings = OAuth2Settings.from_record(auth, user)
    return TokenLogin(settings, row["pk"], row["version"]) if settings else None


def check_mailbox(caller: Caller, request: AccountIn, old: Row, wanted: Row) -> None:
    """Check the mailbox of an account to save; note who chose its host.

    ``old`` and ``wanted`` are all columns before and after the save. Raises Malformed for a
    password that would be sent in the clear, or to another place than it was given for.
    """
    options = {k: v for k, v in (wanted["options"] or {}).items() if k != _ALLOWED}
    wanted["options"] = options
    if not wanted.get("imap_host"):
        return
    before = {**old, "private_allowed": (old.get("options") or {}).get(_ALLOWED)}
    if not old.get("imap_host"):
        before = {}
    if private_allowed(caller, request, before, wanted, _PLACE):
        options[_ALLOWED] = True
    secret = _secret(wanted)
    if wanted.get(secret) is None and wanted.get("auth") is None:
        return
    in_clear = _tls(wanted) is TlsMode.NONE and not wanted["allow_insecure_auth"]
    if in_clear and not is_loopback(wanted["imap_host"]):
        message = "none would send the password in the clear; allowed: auto, starttls, ssl, or "
        raise malformed(mistake("imap_tls", f"{message}none with allow_insecure_auth", "none"))
    if wanted.get(secret) is not None:
        _refuse_other_way(request, secret, old, wanted)


def _refuse_other_way(request: AccountIn, secret: str, old: Row, wanted: Row) -> None:
    """Raise Malformed if a stored secret would go to another mailbox than before."""
    given = getattr(request, secret) if secret in request.model_fields_set else None
    if given not in (None, "", MASK):
        return
    if not old.get("imap_host") or _secret(old) != secret or _way(old) != _way(wanted):
        message = "give it again: it would be sent to another IMAP server, or in another way, and "
        raise malformed(mistake(secret, f"{message}a stored secret is sent only where it was"))


def _secret(row: Row) -> str:
    """Return the name of the secret that opens the mailbox."""
    return "imap_password" if row.get("imap_password") is not None else "password"


def _way(row: Row) -> tuple[Any, ...]:
    place = tuple(usual(row.get(name)) for name, usual in _PLACE.items())
    return (*place, _tls(row), row["verify_cert"], row["allow_insecure_auth"])


def _tls(row: Mapping[str, Any]) -> TlsMode:
    """Return the encryption that is asked for, or the usual one."""
    wanted = (row["options"] or {}).get("imap_tls")
    allows_clear = is_loopback(row["imap_host"]) or row["allow_insecure_auth"]
    if wanted is not None:
        mode = TlsMode(wanted)
    elif (row.get("imap_port") or DEFAULT_IMAP_PORT) == DEFAULT_IMAP_PORT:
        mode = TlsMode.SSL
    elif row["tls"] == TlsMode.NONE:
        mode = TlsMode.NONE
    else:
        mode = TlsMode.AUTO
    # STARTTLS if offered would send the password in the clear if it is not.
    return TlsMode.STARTTLS if mode is TlsMode.AUTO and not allows_clear else mode


_PLACE: dict[str, Usual] = {
    "imap_host": lambda host: usual_host(host or ""),
    "imap_port": lambda port: port or DEFAULT_IMAP_PORT,
}
