"""Test of the mailbox of a PEC account: connect, encrypt, log in, open the folder."""

from __future__ import annotations

import time

from mail_proxy.imap import IMAPClient, ImapLogin, ImapTrouble
from mail_proxy.network.access_tokens import TokenSource
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.smtp.probe import PROBE_STEP_SECONDS
from mail_proxy.wire.accounts import AccountTestStep

_HINTS = {
    "connect": "Check imap_host and imap_port: 993 is usual, with imap_tls ssl.",
    "tls": "Check imap_tls: ssl on port 993, starttls on port 143. A certificate of an authority "
    "that is not public needs verify_cert false.",
    "login": "Check imap_user and imap_password: without them, those of SMTP are used.",
    "select": "Check imap_folder: the folder does not exist, or cannot be opened.",
}


async def probe_mailbox(
    login: ImapLogin, folder: str, guard: NetworkGuard, tokens: TokenSource
) -> AccountTestStep:
    """Return the step ``mailbox`` of an account test.

    Each answer may take ten seconds.
    """
    started = time.perf_counter()
    client = IMAPClient(login, guard, seconds=PROBE_STEP_SECONDS, tokens=tokens)
    try:
        await client.open()
        mailbox = await client.select(folder)
        ok, detail, hint = True, f"{folder} has {mailbox.exists} mails", None
    except ImapTrouble as trouble:
        ok, detail, hint = False, str(trouble), _HINTS.get(trouble.stage)
    finally:
        await client.close()
    ms = round((time.perf_counter() - started) * 1000, 3)
    return AccountTestStep(step="mailbox", ok=ok, detail=detail, hint=hint, ms=ms)
