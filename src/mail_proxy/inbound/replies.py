"""Answers of people to messages, told apart from automatic mail (RFC 3834)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mail_proxy.domain.mail import TRACKING_HEADER
from mail_proxy.inbound.addresses import addresses_in
from mail_proxy.inbound.bounces.automatic import is_automatic_answer
from mail_proxy.inbound.bounces.mail import ReturnedMail
from mail_proxy.inbound.bounces.returned import message_ids
from mail_proxy.inbound.mime import Part, read_message

_MOST_SUBJECT, _MOST_EXCERPT = 500, 1_000
#: In a long thread the newest references come last (RFC 5322 section 3.6.4).
_MOST_REFERENCES = 20
#: Fields that only programs set. The last ones are those of receipts and of certified mail.
_FIELDS_OF_PROGRAMS = (
    *("list-id", "list-unsubscribe", "x-auto-response-suppress", "feedback-id"),
    *("x-ricevuta", "x-trasporto", TRACKING_HEADER.lower()),
)
_PRECEDENCES = ("bulk", "junk", "list", "auto_reply", "auto-reply", "autoreply")
_SENDERS_OF_PROGRAMS = re.compile(
    r"(?:mailer-daemon|no-?reply|do-?not-?reply|bounces?|notifications?)(?:[+=.-].*)?",
    re.IGNORECASE,
)
_QUOTE_BEGINS = re.compile(
    r"^(?:>|-{2,}\s{0,3}(?:original|forwarded|urspr|messaggio|message d|mensaje|weitergeleit)"
    r"|_{10,}$|-- $"
    r"|(?:on|am|il|le|el|em|op|den)\b.{4,200}(?:wrote|schrieb|scritto|écrit|escribió|escreveu"
    r"|schreef|skrev).{0,20}:\s{0,5}$)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer of a person. ``raw`` is the whole mail.

    ``references`` are the message ids that it answers, the nearest first. ``delivered_to`` has
    the addresses it was sent to: a token in one of them names the message (VERP).
    """

    sender: str
    subject: str
    excerpt: str
    references: tuple[str, ...]
    delivered_to: tuple[str, ...]
    raw: bytes


def read_reply(octets: bytes) -> Reply | None:
    """Return the answer of a person, or None for every other mail.

    Takes time in proportion to the size of the mail; not for the event loop.
    """
    message = read_message(octets)
    mail = ReturnedMail(message)
    senders = addresses_in((message.header("from") or "")[:2_000])
    if not senders or mail.is_from_daemon or mail.has_null_sender:
        return None
    if _is_of_program(message, senders[0]):
        return None
    if is_automatic_answer(message, mail.subject, mail.text[:4_000]):
        return None
    references = _references(message)
    if not references and not mail.delivered_to:
        return None
    return Reply(
        senders[0],
        mail.subject[:_MOST_SUBJECT],
        _excerpt(_own_text(message)),
        references,
        tuple(mail.delivered_to),
        octets,
    )


def _is_of_program(message: Part, sender: str) -> bool:
    submitted = (message.header("auto-submitted") or "no").partition(";")[0].strip().lower()
    if submitted != "no" or message.content_type == "multipart/report":
        return True
    if (message.header("precedence") or "").strip().lower() in _PRECEDENCES:
        return True
    if any(message.header(name) is not None for name in _FIELDS_OF_PROGRAMS):
        return True
    return _SENDERS_OF_PROGRAMS.fullmatch(sender.partition("@")[0]) is not None


def _references(message: Part) -> tuple[str, ...]:
    answered = message_ids(message.header("in-reply-to") or "")
    thread = message_ids(message.header("references") or "")[-_MOST_REFERENCES:]
    return tuple(dict.fromkeys([*answered[:_MOST_REFERENCES], *reversed(thread)]))


def _own_text(message: Part) -> str:
    """Return the text of a mail; of its HTML if it has no other."""
    leaves = [part for part in message.leaves() if not part.filename()]
    for kind in ("text/plain", "text/html"):
        for part in leaves:
            if part.content_type == kind:
                return part.text()
    return ""


def _excerpt(text: str) -> str:
    """Return the beginning of what the person wrote, without the quoted message."""
    lines: list[str] = []
    size = 0
    for line in text.split("\n"):
        if _QUOTE_BEGINS.match(line[:300]):
            if any(lines):
                break
            continue
        lines.append("".join(c if c.isprintable() else " " for c in line[:_MOST_EXCERPT]).strip())
        size += len(lines[-1])
        if size > _MOST_EXCERPT:
            break
    return "\n".join(lines).strip()[:_MOST_EXCERPT]
