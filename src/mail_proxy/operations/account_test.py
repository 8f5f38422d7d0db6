"""Trying an account: connect, TLS, log in, quit."""

from __future__ import annotations

from mail_proxy.errors import NotFound
from mail_proxy.operations.accounts import AccountRef
from mail_proxy.operations.callers import Caller
from mail_proxy.operations.operation import Context, Door, operation
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.sql.directory import Directory
from mail_proxy.wire.accounts import AccountTestOut, AccountTestStep


@operation("accounts.test", mutates=True)
def permit(context: Context, request: AccountRef) -> str:
    """Permission to try an account; its pk. Changes nothing, but is worth a row in the audit log:
    the server at the other end sees a log-in."""
    accounts = context.tables.accounts
    row = accounts.find_living(context.connection, context.tenant_id, request.id)
    if row is None:
        raise NotFound("no such account")
    return str(row["pk"])


class AccountTest:
    """``accounts.test``: no transaction is open while the server is asked."""

    def __init__(self, door: Door, directory: Directory, sender: SmtpSender) -> None:
        self._door = door
        self._directory = directory
        self._sender = sender

    async def run(
        self, caller: Caller, request: AccountRef, tenant_id: str | None
    ) -> AccountTestOut:
        """Try the account on a connection of its own, half a minute at most."""
        pk = await self._door.call(permit, caller, request, tenant_id)
        account = (await self._directory.current()).accounts.get(pk)
        if account is None:
            raise NotFound("no such account")
        steps = await self._sender.probe(account.login)
        return AccountTestOut(
            ok=all(step.ok for step in steps),
            steps=[AccountTestStep(**step._asdict()) for step in steps],
        )
