"""Log-in of an account: the stored form of ``auth``, checked, with kept secrets."""

from __future__ import annotations

from typing import Any

from mail_proxy.domain.assertion import load_key
from mail_proxy.operations.callers import Caller
from mail_proxy.operations.places import private_allowed
from mail_proxy.sql.table import Damaged, Row
from mail_proxy.wire.account_auth import SECRETS, AccountAuthIn, AccountAuthOut, usual_place
from mail_proxy.wire.mistakes import malformed, mistake
from mail_proxy.wire.secrets import MASK

#: Field of the stored form that no request has.
_ALLOWED = "private_allowed"


def stored_auth(caller: Caller, request: Any, old: Row | None) -> dict[str, Any] | None:
    """Return ``auth`` as it is stored, with stored secrets for masked ones.

    ``request`` has the field ``auth``. None stands for the password. Raises Malformed.
    """
    given: AccountAuthIn | None = request.auth
    if given is None:
        return None
    before = (old or {}).get("auth")
    new = given.model_dump(exclude_none=True)
    for name in SECRETS:
        if new.get(name) == MASK:
            new[name] = _kept(name, before)
    _check_key(new)
    known = before if isinstance(before, dict) else {}
    approved = {"auth": known, _ALLOWED: known.get(_ALLOWED)} if known else {}
    place = {"auth": usual_place}
    if private_allowed(caller, request, approved, {"auth": new}, place):
        new[_ALLOWED] = True
    return new


def shown_auth(row: Row) -> AccountAuthOut:
    """Return the log-in of an account, secrets masked."""
    stored = row["auth"]
    if isinstance(stored, Damaged):
        return AccountAuthOut(method="damaged")
    if stored is None:
        return AccountAuthOut(method="password" if row["smtp_user"] else "none")
    masked = {name: MASK for name in SECRETS if stored.get(name)}
    return AccountAuthOut(**{k: v for k, v in stored.items() if k != _ALLOWED} | masked)


def _kept(name: str, before: Any) -> str:
    if isinstance(before, Damaged):
        raise malformed(mistake(f"auth.{name}", "the stored value is damaged; give it again"))
    if not (isinstance(before, dict) and before.get(name)):
        raise malformed(mistake(f"auth.{name}", "none is stored"))
    return str(before[name])


def _check_key(new: dict[str, Any]) -> None:
    if new.get("private_key") is None:
        return
    try:
        load_key(new["private_key"])
    except ValueError as error:
        raise malformed(mistake("auth.private_key", str(error))) from None
