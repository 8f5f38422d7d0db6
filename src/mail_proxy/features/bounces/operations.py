"""Operations on the bounce mailbox: show, save, connect again."""

from __future__ import annotations

from mail_proxy.domain.facts import DirectoryChanged
from mail_proxy.errors import Conflict
from mail_proxy.features.bounces.facts import BounceMailboxReload
from mail_proxy.features.bounces.table import NAME, BounceMailboxTable, place_of
from mail_proxy.imap import IMAPClient, ImapTrouble
from mail_proxy.inbound.mailbox_watch import WatchedMailbox
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.sql.table import Row
from mail_proxy.wire.bounces import (
    BounceMailboxAnswer,
    BounceMailboxIn,
    BounceMailboxOut,
    BounceMailboxTested,
    MailboxStateOut,
)
from mail_proxy.wire.bound_secrets import refuse_other_places
from mail_proxy.wire.mistakes import malformed, mistake
from mail_proxy.wire.secrets import MASK
from mail_proxy.wire.tenants import Done

_TEST_SECONDS = 10.0
_NEEDED = ("imap_host", "imap_user", "imap_password")


@operation("bounces.get", scope=Scope.ADMIN)
def get(context: Context, request: None) -> BounceMailboxAnswer:
    """Return the bounce mailbox, and whether it can be read."""
    return _answer(context)


@operation("bounces.save", scope=Scope.ADMIN, mutates=True)
def save(context: Context, request: BounceMailboxIn) -> BounceMailboxAnswer:
    """Change the given fields of the bounce mailbox; every process follows at once."""
    table = context.tables.of_feature(BounceMailboxTable)
    row = table.row(context.connection)
    old = _stored(row)
    given = request.model_dump(exclude_unset=True)
    if given.get("imap_password") == MASK:
        del given["imap_password"]
    new = {**old, **given}
    refuse_other_places(request, old, new)
    if new.get("enabled"):
        wrong = [mistake(name, "required while enabled") for name in _NEEDED if not new.get(name)]
        if wrong:
            raise malformed(*wrong)
    settings = {k: v for k, v in new.items() if k != "imap_password" and v is not None}
    table.save(context.connection, settings, new.get("imap_password"))
    context.publish(DirectoryChanged())
    return _answer(context)


@operation("bounces.reload", scope=Scope.ADMIN, mutates=True)
def reload(context: Context, request: None) -> Done:
    """Connect to the bounce mailbox again, and read it now."""
    context.publish(BounceMailboxReload())
    return Done()


async def _test(parts: Parts, place: WatchedMailbox) -> BounceMailboxTested:
    """Log in and open the folder, on a connection of its own; reads no mail."""
    client = IMAPClient(place.login, NetworkGuard.of(parts.config), seconds=_TEST_SECONDS)
    try:
        await client.open()
        mailbox = await client.select(place.folder)
    except ImapTrouble as trouble:
        return BounceMailboxTested(
            ok=False, stage=trouble.stage, error=trouble.reason, messages=None
        )
    finally:
        await client.close()
    return BounceMailboxTested(ok=True, stage=None, error=None, messages=mailbox.exists)


@operation("bounces.test", scope=Scope.ADMIN, mutates=True, then=_test)
def test(context: Context, request: None) -> WatchedMailbox:
    """Test the saved bounce mailbox: connect, TLS, log in, open the folder.

    The server at the other end sees a log-in, so the test is in the audit log.
    """
    row = context.tables.of_feature(BounceMailboxTable).row(context.connection)
    place = None if row is None else place_of(row)
    if place is None:
        raise Conflict("the bounce mailbox has no imap_host, imap_user or imap_password yet")
    return place


def _stored(row: Row | None) -> Row:
    return {} if row is None else {**row["settings"], "imap_password": row["password"]}


def _answer(context: Context) -> BounceMailboxAnswer:
    stored = _stored(context.tables.of_feature(BounceMailboxTable).row(context.connection))
    shown = BounceMailboxOut(**{**stored, "imap_password": stored.get("imap_password") and MASK})
    for state in context.tables.mailboxes.states(context.connection):
        if state.name == NAME:
            shown.state = MailboxStateOut(
                checked_ts=_whole(state.checked_at),
                error=state.error,
                error_since_ts=_whole(state.error_since),
            )
    return BounceMailboxAnswer(bounce=shown)


def _whole(instant: float | None) -> int | None:
    return None if instant is None else int(instant)


ALL = (get, save, reload, test)
