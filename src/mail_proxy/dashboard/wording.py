"""Words of the dashboard for states, reasons, codes, numbers and durations."""

from __future__ import annotations

import gettext
from collections.abc import Callable, Mapping
from typing import Any

from mail_proxy.inbound.bounces.codes import codes_in


def _(text: str) -> str:
    """Mark a text for the catalogue; it is translated where it is shown."""
    return text


STATES = {
    "pending": _("waiting"),
    "sending": _("being sent"),
    "sent": _("sent"),
    "deferred": _("will be retried"),
    "error": _("given up"),
}
#: Reasons of waiting, short: as labels of bars and filters.
REASONS = {
    "queue": _("its turn has not come"),
    "retry": _("an attempt failed for now"),
    "account_paused": _("its account is in trouble"),
    "rate_limit": _("a rate limit is used up"),
    "suspended": _("suspended on request"),
    "scheduled": _("handed in for later"),
    "in_flight": _("being sent right now"),
    "tenant_inactive": _("its tenant is inactive"),
    "stopped": _("the dispatcher is off"),
}
EVENTS = {
    "queued": _("Taken in"),
    "sent": _("Accepted by the mail server"),
    "deferred": _("Put off: the attempt failed for now"),
    "error": _("Given up"),
    "bounce": _("Came back (bounce)"),
    "complaint": _("Called spam by the recipient"),
    "pec_acceptance": _("PEC: accepted"),
    "pec_delivery": _("PEC: delivered"),
    "pec_relay": _("PEC: taken in charge"),
    "pec_warning": _("PEC: not delivered yet"),
    "pec_error": _("PEC: not delivered"),
    "pec_timeout": _("PEC: no receipt came"),
    "reply": _("Answered"),
    "unsubscribe": _("Unsubscribed"),
}
TROUBLES = {
    "account_paused": _("An account cannot send"),
    "reports_failing": _("An application takes no reports"),
    "mailbox_failing": _("A mailbox cannot be read"),
    "queue_late": _("Messages are late"),
    "dispatcher_stopped": _("Nothing is sent: no dispatcher runs"),
    "disk_short": _("The disk is nearly full: no messages are taken in"),
}
STEPS = {
    "connect": _("Connect"),
    "tls": _("Encrypt"),
    "login": _("Log in"),
    "mail": _("Send the test mail"),
    "quit": _("Say goodbye"),
}
OUTCOMES = {
    "ok": _("taken"),
    "refused": _("refused by the application"),
    "status": _("HTTP error"),
    "bad_answer": _("unreadable answer"),
    "timeout": _("no answer in time"),
    "connection": _("no connection"),
    "settings": _("invalid settings"),
    "raised": _("the callable failed"),
}
SUPPRESSED = {
    "bounce": _("bounce"),
    "complaint": _("complaint"),
    "unsubscribed": _("unsubscribed"),
    "manual": _("by hand"),
}
#: Errors of the proxy itself, by their beginning.
_OWN = {
    "suppressed": _("The address is on the suppression list: nothing is sent to it."),
    "account deleted": _("The account that it waited for was deleted."),
    "no connection": _("The server could not be reached, or the connection broke."),
}
#: Meanings of codes: the exact enhanced code, then its first two numbers, then the reply code.
_CODES = {
    "5.1.1": _("The mailbox does not exist."),
    "5.1.2": _("The domain does not exist or takes no mail."),
    "5.1.3": _("The address is malformed."),
    "5.1.10": _("The domain says that it takes no mail."),
    "5.2.1": _("The mailbox is disabled."),
    "5.2.2": _("The mailbox is full."),
    "4.2.2": _("The mailbox is full for now."),
    "5.2.3": _("The mail is too large for this mailbox."),
    "5.3.4": _("The mail is too large for the server."),
    "5.7.1": _("The server refuses the mail: policy, reputation or a missing permission."),
    "5.7.8": _("User name or password is wrong."),
    "5.7.9": _("The server wants another way to log in, such as an app password."),
    "5.7.26": _("The domain's SPF, DKIM or DMARC does not fit this mail."),
    "4.7.1": _("The server wants to see the mail again later (greylisting or rate limit)."),
    "4.7.0": _("The server takes less from this sender for now."),
    "4.4": _("The server could not be reached, or the connection broke."),
    "5.4": _("The way to the recipient's server is broken."),
    "4.2": _("The mailbox cannot take mail for now."),
    "5.7": _("The server refuses the mail for reasons of security or policy."),
    "4.7": _("The server refuses the mail for now, for reasons of policy."),
    "421": _("The server is busy or limits its senders; it is tried again."),
    "450": _("The mailbox cannot take mail for now; it is tried again."),
    "451": _("The server had an error of its own; it is tried again."),
    "452": _("The server has no room for now; it is tried again."),
    "535": _("User name or password is wrong."),
    "550": _("The server refuses the recipient or the mail."),
    "552": _("The mailbox or the mail is too large."),
    "553": _("The server does not accept this address."),
    "554": _("The server refuses the mail."),
}
#: Answers to actions, after the browser was sent on; ``n`` is the number that they touched.
DONE = {
    "retried": _("Back in the queue: %(n)s"),
    "removed": _("Removed: %(n)s"),
    "in_progress": _("It is being sent right now, and was not removed."),
    "suspended": _("Sending is suspended. Messages that wait: %(n)s"),
    "activated": _("Sending goes on. Messages that waited: %(n)s"),
    "run": _("Delivery and reports were started."),
    "saved": _("Saved."),
    "deleted": _("Deleted."),
    "resumed": _("The account works. Messages that go on: %(n)s"),
    "added": _("Added: %(n)s"),
    "queued": _("The mail is in the queue."),
    "logged_out": _("You are logged out."),
    "ended": _("Sessions that were ended: %(n)s"),
}
_UNITS = (
    (86_400, _("%(n)s d")),
    (3600, _("%(n)s h")),
    (60, _("%(n)s min")),
    (1, _("%(n)s s")),
)


_NOTHING = "\N{EN DASH}"


class Wording:
    """Words in one language, as filters of templates."""

    def __init__(self, texts: gettext.NullTranslations) -> None:
        self._texts = texts
        self.filters: Mapping[str, Callable[..., Any]] = {
            "state": self._of(STATES),
            "reason": self._of(REASONS),
            "event": self._of(EVENTS),
            "trouble": self._of(TROUBLES),
            "step": self._of(STEPS),
            "outcome": self._of(OUTCOMES),
            "suppressed": self._of(SUPPRESSED),
            "meaning": self.meaning,
        }

    def done(self, code: str, number: str) -> str:
        """Return the answer to an action; empty for a code that there is not."""
        text = DONE.get(code)
        shown = self.number(int(number)) if number.isdecimal() else "0"
        return self._texts.gettext(text) % {"n": shown} if text else ""

    def number(self, value: float | None) -> str:
        """Return a whole number with thin spaces between groups of three."""
        return (
            _NOTHING
            if value is None
            else f"{int(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
        )

    def duration(self, seconds: float | None) -> str:
        """Return a length of time in its largest unit."""
        if seconds is None:
            return _NOTHING
        seconds = max(0, int(seconds))
        size, unit = next((u for u in _UNITS if seconds >= u[0] * 2 or u[0] == 1), _UNITS[-1])
        return self._texts.gettext(unit) % {"n": seconds // size}

    def meaning(self, text: Any) -> str:
        """Return the meaning of the code in a server's answer; empty if it has none."""
        text = str(text or "")[:2000]
        for beginning, meaning in _OWN.items():
            if text.startswith(beginning):
                return self._texts.gettext(meaning)
        codes = codes_in(text, is_reply=True)
        enhanced = codes.enhanced or ""
        for key in (enhanced, enhanced.rpartition(".")[0], codes.reply or ""):
            if key in _CODES:
                return self._texts.gettext(_CODES[key])
        return ""

    def _of(self, words: Mapping[str, str]) -> Callable[[Any], str]:
        def shown(value: Any) -> str:
            key = str(value)
            return self._texts.gettext(words[key]) if key in words else key

        return shown
