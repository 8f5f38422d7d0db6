"""Grammars of the header fields that are not free text.

The tables have the grammar of each field, how often it may occur, and its source.

A field that is not in these tables is unstructured text (RFC 5322 section 3.6.8) and may stand
any number of times. All names are lower case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto


class Grammar(Enum):
    """Grammar by which the value of a header field is read and written."""

    #: Words in any script; encoded words where needed.
    TEXT = auto()
    #: One mailbox: the display name is encoded, the address never.
    MAILBOX = auto()
    #: Mailboxes with commas between them.
    MAILBOXES = auto()
    #: One message id in angle brackets, in ASCII, never encoded.
    MESSAGE_ID = auto()
    #: Message ids with blanks between them; folded there.
    MESSAGE_IDS = auto()
    #: URIs in angle brackets, with commas between them and comments; folded between URIs.
    URIS = auto()
    #: A phrase, which may be encoded, and the list's identifier in angle brackets.
    LIST_ID = auto()
    #: Phrases with commas between them, each encoded on its own.
    PHRASES = auto()
    #: A date and time of RFC 5322 section 3.3.
    DATE = auto()
    #: Tokens in ASCII, folded at blanks, never encoded.
    TOKENS = auto()
    #: As TOKENS; a long base64 value may be folded anywhere, because its readers skip blanks.
    BASE64 = auto()


@dataclass(frozen=True, slots=True)
class HeaderField:
    """The rules of one header field.

    ``once``: at most one in a mail. ``words``: values that are allowed next to the grammar's, or
    the only ones for TOKENS.
    """

    grammar: Grammar
    source: str
    once: bool = True
    words: tuple[str, ...] = ()


#: Grammar, source, and the names that share them. Each may stand once.
_ONCE = (
    (Grammar.MAILBOX, "RFC 5322 3.6.2", "Sender"),
    (Grammar.MAILBOXES, "RFC 5322 3.6.2", "Reply-To"),
    (Grammar.MESSAGE_IDS, "RFC 5322 3.6.4", "In-Reply-To References"),
    (Grammar.MAILBOXES, "RFC 8098 2.1, before 3798", "Disposition-Notification-To"),
    (Grammar.MAILBOXES, "RFC 2076 3.5", "Return-Receipt-To X-Confirm-Reading-To Errors-To"),
    (Grammar.MAILBOXES, "RFC 2076 3.5", "Mail-Followup-To Mail-Reply-To"),
    (Grammar.MAILBOXES, "RFC 4021 2.1", "Abuse-Reports-To X-Report-Abuse-To"),
    (Grammar.URIS, "RFC 2369 3", "List-Help List-Subscribe List-Unsubscribe"),
    (Grammar.URIS, "RFC 2369 3", "List-Owner List-Archive"),
    (Grammar.URIS, "RFC 5064 2.2", "Archived-At"),
    (Grammar.LIST_ID, "RFC 2919 2", "List-Id"),
    (Grammar.TOKENS, "RFC 3834 5", "Auto-Submitted"),
    (Grammar.TOKENS, "RFC 8098 2.2", "Disposition-Notification-Options"),
    (Grammar.TOKENS, "RFC 2076 3.9", "Precedence Priority X-Priority X-MSMail-Priority"),
    (Grammar.TOKENS, "RFC 4021 2.1", "Importance Sensitivity Language Accept-Language"),
    (Grammar.TOKENS, "RFC 4021 2.1", "Autoforwarded Conversion Prevent-NonDelivery-Report"),
    (Grammar.TOKENS, "MS-OXCMAIL 2.1", "X-Auto-Response-Suppress Thread-Index"),
    (Grammar.TOKENS, "Gmail feedback loop; BIMI", "Feedback-ID BIMI-Selector"),
    (Grammar.BASE64, "Autocrypt 1.1, 2.1", "Autocrypt"),
    (Grammar.MESSAGE_ID, "RFC 4021 2.1", "Original-Message-ID Supersedes"),
    (Grammar.DATE, "RFC 4021 2.1", "Expires Expiry-Date Reply-By Deferred-Delivery"),
)
#: Fields that a mail may have several times: one block for each time it was sent again.
_REPEATED = (
    (Grammar.MAILBOX, "RFC 5322 3.6.6", "Resent-Sender"),
    (Grammar.MAILBOXES, "RFC 5322 3.6.6", "Resent-From Resent-To Resent-Cc Resent-Reply-To"),
    (Grammar.DATE, "RFC 5322 3.6.6", "Resent-Date"),
    (Grammar.MESSAGE_ID, "RFC 5322 3.6.6", "Resent-Message-ID"),
    (Grammar.PHRASES, "RFC 5322 3.6.5", "Keywords"),
    (Grammar.TEXT, "RFC 5322 3.6.5", "Comments"),
    (Grammar.MESSAGE_IDS, "RFC 4021 2.1", "Obsoletes"),
)


def _table() -> Iterator[tuple[str, HeaderField]]:
    for rules, once in ((_ONCE, True), (_REPEATED, False)):
        for grammar, source, names in rules:
            for name in names.lower().split():
                yield name, HeaderField(grammar, source, once)


#: Rules by the field's name in lower case.
HEADER_FIELDS: dict[str, HeaderField] = {
    **dict(_table()),
    "list-post": HeaderField(Grammar.URIS, "RFC 2369 3.4", words=("NO",)),
    "list-unsubscribe-post": HeaderField(
        Grammar.TOKENS, "RFC 8058 3.1", words=("List-Unsubscribe=One-Click",)
    ),
}

_TRACE = "mail servers write it"
#: Fields that no client may write, with what to do instead.
RESERVED: dict[str, str] = {
    "from": "use the field from",
    "to": "use the field to",
    "cc": "use the field cc",
    "bcc": "use the field bcc",
    "subject": "use the field subject",
    "message-id": "use the field message_id",
    "date": "the proxy sets it: the time of taking in, or deferred_ts",
    "x-genro-mail-id": "the proxy sets it to the field id",
    "return-path": "use the field return_path",
    "resent-bcc": "use the field bcc",
    "dkim-signature": "the proxy signs with the keys of /dkim",
    "domainkey-signature": "the proxy signs with the keys of /dkim",
    "received": _TRACE,
    "received-spf": _TRACE,
    "authentication-results": _TRACE,
    "delivered-to": _TRACE,
    "original-recipient": _TRACE,
}
#: The same for all fields that begin so.
RESERVED_PREFIXES: dict[str, str] = {
    "mime-": "the proxy sets it",
    "content-": "use the fields body, content_type and body_html",
    "arc-": _TRACE,
}


def reserved(name: str) -> str | None:
    """Return the alternative to a field that no client may write, else None.

    ``name`` is in lower case.
    """
    instead = RESERVED.get(name)
    if instead is None and name.startswith(tuple(RESERVED_PREFIXES)):
        return next(text for prefix, text in RESERVED_PREFIXES.items() if name.startswith(prefix))
    return instead
