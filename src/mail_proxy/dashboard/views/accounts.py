"""Accounts: list, add with a preset, change, test before and after saving, delete."""

from __future__ import annotations

import time
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from mail_proxy.dashboard.forms import Form, reason_of
from mail_proxy.dashboard.page import Page
from mail_proxy.dashboard.providers import PROVIDERS, provider
from mail_proxy.dashboard.visit import Visit
from mail_proxy.errors import RequestError
from mail_proxy.operations import account_tests, accounts, stats
from mail_proxy.sql.hourly_counts import HOUR
from mail_proxy.wire.accounts import (
    AccountIn,
    AccountOut,
    AccountRef,
    AccountTest,
    UnsavedAccountTest,
)
from mail_proxy.wire.mistakes import malformed, mistakes_of
from mail_proxy.wire.stats import StatsGroup, StatsQuery

_TEXTS = ("id", "host", "user", "tls", "limit_behavior", "helo_name")
_NUMBERS = (
    *("port", "max_connections", "batch_size"),
    *("limit_per_minute", "limit_per_hour", "limit_per_day"),
)
_TLS = ("auto", "starttls", "ssl", "none")
_MOST_SHOWN = 500


async def listing(visit: Visit) -> Response:
    """Show the accounts of a tenant, those in trouble first."""
    found = (await visit.ask(accounts.list_accounts, None, visit.tenant_id)).accounts
    found.sort(key=lambda account: account.health == "ok")
    wanted = visit.query("q", 255).casefold()
    shown = [a for a in found if wanted in f"{a.id} {a.host} {a.user}".casefold()]
    return await visit.show(
        "accounts.html",
        tenant_id=visit.tenant_id,
        accounts=shown[:_MOST_SHOWN],
        more=len(shown) - _MOST_SHOWN,
        total=len(found),
        wanted=visit.query("q", 255),
        sent=await _sent_today(visit),
    )


async def new(visit: Visit) -> Response:
    """Show the form of a new account, filled in with a provider's server."""
    chosen = provider(visit.query("provider", 40))
    fields: dict[str, Any] = {"port": 587, "tls": "auto"}
    if chosen:
        fields.update(host=chosen.host, port=chosen.port, tls=chosen.tls, user=chosen.user)
        fields["id"] = chosen.id
    return await _form(visit, fields, is_new=True, chosen=chosen.id if chosen else "")


async def edit(visit: Visit) -> Response:
    """Show one account with the form to change it."""
    account = await _account(visit)
    return await _form(visit, account.model_dump(), is_new=False, account=account)


async def save(visit: Visit) -> Response:
    """Test or save a new account."""
    return await _save(visit, is_new=True)


async def change(visit: Visit) -> Response:
    """Test or save an account that there is."""
    return await _save(visit, is_new=False)


async def test(visit: Visit) -> Response:
    """Test a saved account, and show the steps; success ends its pause."""
    account = await _account(visit)
    to = visit.form.text("to") or None
    request = AccountTest(id=account.id, to=to)
    result = await visit.ask(account_tests.test, request, visit.tenant_id)
    account = await _account(visit)
    return await _form(visit, account.model_dump(), is_new=False, account=account, result=result)


async def delete(visit: Visit) -> Response:
    """Delete an account, after the visitor was told what becomes of its messages."""
    account = await _account(visit)
    if not visit.form.is_set("sure"):
        return await visit.show("confirm_account.html", tenant_id=visit.tenant_id, account=account)
    await visit.ask(accounts.delete, AccountRef(id=account.id), visit.tenant_id)
    return visit.go(visit.tenant_path("accounts", done="deleted"))


async def _save(visit: Visit, *, is_new: bool) -> Response:
    account = None if is_new else await _account(visit)
    fields: dict[str, Any] = {}
    try:
        fields = _fields(visit.form, account)
        if visit.form.is_set("test"):
            to = visit.form.text("to") or None
            asked = UnsavedAccountTest(**_of_test(fields, is_new), to=to)
            result = await visit.ask(account_tests.test_unsaved, asked, visit.tenant_id)
            return await _form(visit, fields, is_new=is_new, account=account, result=result)
        await visit.ask(accounts.save, AccountIn(**fields), visit.tenant_id)
    except ValidationError as error:
        refused: RequestError = malformed(*mistakes_of(error.errors(), None, lambda _: None))
    except RequestError as error:
        if error.http_status not in (400, 409, 422):
            raise
        refused = error
    else:
        return visit.go(visit.tenant_path("accounts", fields["id"], done="saved"))
    typed = {**fields, **{name: visit.form.text(name) for name in (*_TEXTS, *_NUMBERS)}}
    return await _form(
        visit, typed, 422, is_new=is_new, account=account, reasons=reason_of(refused)
    )


def _of_test(fields: dict[str, Any], is_new: bool) -> dict[str, Any]:
    """Return the fields to test, without the name that a new account will have."""
    return {name: value for name, value in fields.items() if name != "id" or not is_new}


def _fields(form: Form, account: AccountOut | None) -> dict[str, Any]:
    """Return the fields of the form.

    An empty password of a saved account keeps the stored one.
    """
    fields: dict[str, Any] = form.given(*_TEXTS)
    for name in _NUMBERS:
        number = form.number(name)
        if number is not None:
            fields[name] = number
        elif account is not None and name not in ("port", "batch_size", "max_connections"):
            fields[name] = 0
    if account is not None:
        fields["id"] = account.id
        fields.setdefault("user", None)
        fields.setdefault("helo_name", None)
    password = form.secret("password")
    if password:
        fields["password"] = password
    elif account is not None and form.is_set("no_password"):
        fields["password"] = None
    for name in ("verify_cert", "allow_insecure_auth", "dkim"):
        fields[name] = form.is_set(name)
    if form.is_set("is_default"):
        fields["is_default"] = True
    return fields


async def _form(
    visit: Visit,
    fields: dict[str, Any],
    status: int = 200,
    *,
    is_new: bool,
    account: AccountOut | None = None,
    **data: Any,
) -> Response:
    given: dict[str, Any] = {"result": None, "reasons": [], "chosen": ""}
    boxes = {"verify_cert": True, "allow_insecure_auth": False, "dkim": True, "is_default": False}
    empty = dict.fromkeys((*_TEXTS, *_NUMBERS), "")
    # A password is never sent to the browser, not even the one that it has just sent.
    shown = {k: v for k, v in fields.items() if k != "password"}
    return await visit.show(
        "account.html",
        status,
        tenant_id=visit.tenant_id,
        account=account,
        fields={**empty, **boxes, **{k: "" if v is None else v for k, v in shown.items()}},
        is_new=is_new,
        providers=PROVIDERS,
        modes=_TLS,
        **{**given, **data},
    )


async def _account(visit: Visit) -> AccountOut:
    reference = AccountRef(id=visit.part("id"))
    return (await visit.ask(accounts.get, reference, visit.tenant_id)).account


async def _sent_today(visit: Visit) -> dict[str, int]:
    """Return how many messages each account sent in 24 hours."""
    begin = int(time.time()) // HOUR * HOUR - 23 * HOUR
    asked = StatsQuery(from_ts=begin, by=StatsGroup.ACCOUNT, limit=10_000)
    sent: dict[str, int] = {}
    for row in (await visit.ask(stats.list_stats, asked, visit.tenant_id)).stats:
        sent[row.account_id or ""] = sent.get(row.account_id or "", 0) + row.sent
    return sent


PAGES = (
    Page("GET", "/t/{tenant}/accounts", listing),
    Page("POST", "/t/{tenant}/accounts", save),
    Page("GET", "/t/{tenant}/accounts/new", new),
    Page("GET", "/t/{tenant}/accounts/{id}", edit),
    Page("POST", "/t/{tenant}/accounts/{id}", change),
    Page("POST", "/t/{tenant}/accounts/{id}/test", test),
    Page("POST", "/t/{tenant}/accounts/{id}/delete", delete),
)
