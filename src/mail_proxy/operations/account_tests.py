"""Tests of SMTP accounts, saved or not, with hints and an optional test mail."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from mail_proxy.domain.account import SmtpLogin
from mail_proxy.domain.facts import DirectoryChanged, MessagesDue
from mail_proxy.domain.mail import Address, Mail
from mail_proxy.kit.ids import uuid7
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.operations.account_mailboxes import mailbox_login
from mail_proxy.operations.accounts import DEFAULTS, find_living, wanted_columns
from mail_proxy.operations.mailbox_probe import probe_mailbox
from mail_proxy.operations.operation import Context, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.smtp.compose import compose
from mail_proxy.smtp.envelope import Envelope
from mail_proxy.sql.directory import login_of
from mail_proxy.sql.table import Row
from mail_proxy.telemetry.log import Action, log
from mail_proxy.wire.accounts import (
    DEFAULT_FOLDER,
    AccountTest,
    AccountTestOut,
    AccountTestStep,
    UnsavedAccountTest,
)

_SUBJECT = "Test mail"
_BODY = "The mail proxy sent this mail to test an account. The account works.\n"


@dataclass(frozen=True)
class _Test:
    """A test that is allowed. ``account`` is None for one that is not saved.

    ``columns`` are those of the account, saved or not.
    """

    account: Row | None
    login: SmtpLogin
    to: str | None
    columns: Row


async def _test(parts: Parts, order: _Test) -> AccountTestOut:
    """Test the account on a connection of its own, for at most a minute."""
    now = parts.clock.now()
    probed = await parts.sender.probe(order.login, _mail(order, now))
    steps = [AccountTestStep(**asdict(step)) for step in probed]
    if all(step.ok for step in steps):
        steps += await _mailbox_steps(parts, order)
    ok = all(step.ok for step in steps)
    resumed = 0
    health = parts.tables.health
    account = order.account
    if ok and account and await parts.db.write(health.resume, account["pk"]):
        log(Action.ACCOUNT_RESUMED, tenant_id=account["tenant_id"], account_id=account["id"])
        resumed = await parts.db.read(health.waiting, account["pk"], now)
        parts.bus.publish(DirectoryChanged())
        parts.bus.publish(MessagesDue())
    return AccountTestOut(ok=ok, steps=steps, resumed=resumed)


async def _mailbox_steps(parts: Parts, order: _Test) -> list[AccountTestStep]:
    """Return the step about the mailbox of a PEC account, if it has one."""
    columns = order.columns
    try:
        login = mailbox_login(columns)
        if login is not None and login.tokens is not None:
            login = replace(login, tokens=order.login.tokens)
    except ValueError as error:
        return [AccountTestStep(step="mailbox", ok=False, detail=str(error), hint=None, ms=0)]
    if login is None:
        return []
    folder = columns.get("imap_folder") or DEFAULT_FOLDER
    guard = NetworkGuard.of(parts.config)
    return [await probe_mailbox(login, folder, guard, parts.tokens)]


@operation("accounts.test", mutates=True, then=_test)
def test(context: Context, request: AccountTest) -> _Test:
    """Test a saved account: connect, TLS, log in, quit. Success ends its pause.

    The server at the other end sees a log-in, so the test is in the audit log.
    """
    row = find_living(context, request.id)
    login = login_of(row, context.config.concurrency)
    return _Test(row, login, request.to, row)


@operation("accounts.test_unsaved", mutates=True, then=_test)
def test_unsaved(context: Context, request: UnsavedAccountTest) -> _Test:
    """Test the fields of an account without saving them.

    With the id of a saved account, the fields are tested in place of its own.
    """
    old = None
    if request.id is not None:
        accounts = context.tables.accounts
        old = accounts.find_living(context.connection, context.tenant_id, request.id)
    columns = wanted_columns(context, request, old)
    row = {"pk": uuid7(), "version": 1, **DEFAULTS, **_EMPTY, **(old or {}), **columns}
    login = login_of(row, context.config.concurrency)
    saved = None if old is None else login_of(old, context.config.concurrency).tokens
    if login.tokens and (saved is None or saved.settings != login.tokens.settings):
        # Tokens of settings that are not saved are not stored.
        login = replace(login, tokens=replace(login.tokens, account_pk=None))
    return _Test(None, login, request.to, row)


_EMPTY = dict.fromkeys(("smtp_user", "password", "auth", "batch_size", "max_connections"))


def _mail(order: _Test, now: float) -> Envelope | None:
    """Return the test mail, from the account's user if that is an address."""
    if order.to is None:
        return None
    user = order.login.user or ""
    sender, to = Address("", user if "@" in user else order.to), Address("", order.to)
    id_ = uuid7()
    message_id = f"<{id_}@{sender.email.rpartition('@')[2]}>"
    mail = Mail(sender, (to,), (), (), _SUBJECT, _BODY, "plain", message_id)
    return Envelope(sender.email, (to.email,), compose(mail, tracking_id=id_, date=now))


ALL = (test, test_unsaved)
