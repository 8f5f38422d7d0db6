"""A message that a client hands in: its fields and their checks."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mail_proxy.domain.header_fields import HEADER_FIELDS, reserved
from mail_proxy.domain.long_text import LongText
from mail_proxy.domain.mail import Address, Mail
from mail_proxy.wire.addresses import parse_mailbox, parse_mailboxes
from mail_proxy.wire.attachments import AttachmentIn
from mail_proxy.wire.fields import (
    Content,
    Identifier,
    OneLine,
    Priority,
    Redacted,
    Request,
)
from mail_proxy.wire.instants import Timestamp
from mail_proxy.wire.message_bounds import MOST_ATTACHMENTS, MOST_RECIPIENTS
from mail_proxy.wire.mistakes import Mistake, WrongField, mistake, sentence
from mail_proxy.wire.unsubscribe import (
    HEADER,
    POST_HEADER,
    ListUnsubscribe,
    ListUnsubscribeIn,
    unsubscribe_headers,
)

_HEADER_NAME = re.compile(r"[!-9;-~]{1,76}")
_MESSAGE_ID = re.compile(r"<[^<>\s@]+@[^<>\s@]+>")
Parsed = TypeVar("Parsed")
Recipients = list[OneLine] | OneLine
RECIPIENTS = ("to", "cc", "bcc")
LISTS_OF_ADDRESSES = (*RECIPIENTS, "reply_to")
NOBODY = Address("", "")
_UNSUBSCRIBE = (HEADER.lower(), POST_HEADER.lower())


class RejectionCode(StrEnum):
    """Stable name of the reason why a message was not queued."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    TENANT_REQUIRED = "tenant_required"
    NO_SUCH_TENANT = "no_such_tenant"
    ACCOUNT_REQUIRED = "account_required"
    NO_SUCH_ACCOUNT = "no_such_account"
    EXPIRED = "expired"
    NOT_FOR_PEC = "not_for_pec"

    @property
    def meaning(self) -> str:
        """The sentence about the code in the reference."""
        return _MEANINGS[self]


_MEANINGS = {
    RejectionCode.MALFORMED: "A field is missing, unknown, or has a value that is not allowed.",
    RejectionCode.TOO_LARGE: "A bound of one message is exceeded; the reason has both numbers.",
    RejectionCode.TENANT_REQUIRED: "The admin token was used, and there are several tenants.",
    RejectionCode.NO_SUCH_TENANT: "`tenant_id` names a tenant that does not exist.",
    RejectionCode.ACCOUNT_REQUIRED: "`account_id` is left out, and no account is the default.",
    RejectionCode.NO_SUCH_ACCOUNT: "`account_id` names an account that the tenant does not have.",
    RejectionCode.EXPIRED: "`expires_ts` is past.",
    RejectionCode.NOT_FOR_PEC: "The account sends certified mail (PEC), and this is none: "
    "it has another envelope sender than From, a Bcc, or is too large for so many recipients.",
}


class WrongMessage(ValueError):
    """A message has mistakes, one for each wrong field."""

    def __init__(self, wrong: list[Mistake], code: RejectionCode = RejectionCode.MALFORMED) -> None:
        super().__init__(sentence(wrong))
        self.wrong = wrong
        self.code = code


class QueuedIn(Request):
    """The fields of every message to queue that say nothing about its mail."""

    id: Identifier = Field(description="The client's own identifier, unique per tenant.")
    tenant_id: Identifier | None = Field(
        None, description="Optional with a tenant key, or if there is only one tenant."
    )
    account_id: Identifier | None = Field(
        None, description="Default: the tenant's default account, or its only one."
    )
    priority: Priority | None = Field(None, description="0-3 or immediate, high, medium, low.")
    deferred_ts: Timestamp | None = Field(None, description="Do not send before this time.")
    expires_ts: Timestamp | None = Field(None, description="Do not send after this time.")
    batch_code: Identifier | None = Field(
        None, description="Batch (campaign) that the message belongs to."
    )


class MessageIn(QueuedIn):
    """A mail to queue."""

    sender: OneLine = Field(alias="from", description="Sender: a@b or Name <a@b>.")
    to: Recipients = Field(
        default_factory=list, description="A list, or one text with commas; 1000 with cc and bcc."
    )
    cc: Recipients = Field(default_factory=list, description="Copies; form as `to`.")
    bcc: Recipients = Field(
        default_factory=list, description="Blind copies; form as `to`. They are in no header."
    )
    reply_to: Recipients = Field(default_factory=list, description="Reply-To; at most 1000.")
    return_path: OneLine | None = Field(
        None, description="Envelope sender; default: `from`; empty or <>: none."
    )
    message_id: OneLine | None = Field(None, description="Message-ID; generated if absent.")
    subject: OneLine = Field(description="Subject; may be empty; at most 4000 octets.")
    body: Content = Field("", description="Text of the mail.")
    content_type: Literal["plain", "html"] = Field("plain", description="Format of `body`.")
    body_html: Content | None = Field(
        None,
        description="HTML alternative to a plain `body`; without one, an HTML mail. Empty: none.",
    )
    headers: dict[str, OneLine] = Field(default_factory=dict, description="At most 100.")
    list_unsubscribe: ListUnsubscribe | None = Field(
        None,
        description="Header fields with which the recipient unsubscribes: the application's own "
        "url or mailto, or true for a page of this service (needs `public_url` and one recipient).",
    )
    attachments: Annotated[list[AttachmentIn], Field(max_length=MOST_ATTACHMENTS), Redacted()] = (
        Field(default_factory=list, description="Files that are sent with the mail; at most 100.")
    )

    @field_validator(
        *("to", "cc", "bcc", "reply_to", "body", "content_type", "headers", "attachments"),
        mode="before",
    )
    @classmethod
    def _absent(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None or info.field_name is None:
            return value
        return cls.model_fields[info.field_name].get_default(call_default_factory=True)

    @field_validator("headers")
    @classmethod
    def _allowed_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        """Refuse reserved names and repeated fields; leave out headers without a value."""
        seen = set()
        for name in headers:
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name[:80]!r} is not a header name (RFC 5322)")
            lower = name.lower()
            instead = reserved(lower)
            if instead is not None:
                raise ValueError(f"{name} cannot be given: {instead}")
            if lower in seen and lower in HEADER_FIELDS and HEADER_FIELDS[lower].once:
                raise ValueError(f"{name} is given twice; it may stand once in a mail")
            seen.add(lower)
        trimmed = ((name, value.strip(" \t")) for name, value in headers.items())
        return {name: value for name, value in trimmed if value}

    @field_validator("message_id")
    @classmethod
    def _angled(cls, value: str | None) -> str | None:
        if value is None:
            return None
        angled = value if value.startswith("<") else f"<{value}>"
        if not _MESSAGE_ID.fullmatch(angled) or len(angled) > 250:
            raise ValueError("must look like <left@right>, at most 250 characters")
        return angled

    @field_validator("body_html")
    @classmethod
    def _no_blank_part(cls, value: str | LongText | None) -> str | LongText | None:
        """Return None for a blank HTML part, which would hide the text.

        Readers show the last part that they know.
        """
        return None if value is None or not value or value.isspace() else value

    @model_validator(mode="after")
    def _consistent(self) -> MessageIn:
        if self.body_html is not None and self.content_type == "html":
            raise WrongField("body_html", "goes with a plain body only")
        if self.reply_to and any(name.lower() == "reply-to" for name in self.headers):
            raise WrongField("headers", "Reply-To and the field reply_to cannot both be given")
        if self.list_unsubscribe and any(n.lower() in _UNSUBSCRIBE for n in self.headers):
            raise WrongField("headers", "List-Unsubscribe goes without the field list_unsubscribe")
        return self

    def mail(self, unique: str, hosted_page: Callable[[str], str] | None = None) -> Mail:
        """Return the mail; ``unique`` becomes its Message-ID if the client gave none.

        ``hosted_page`` returns the URL on which a recipient unsubscribes. Raises WrongMessage
        that names every wrong field.
        """
        wrong: list[Mistake] = []
        to, cc, bcc, reply_to = (
            collected(wrong, name, parse_mailboxes, getattr(self, name), ())
            for name in LISTS_OF_ADDRESSES
        )
        sender = collected(wrong, "from", parse_mailbox, self.sender, NOBODY)
        return_path = collected(wrong, "return_path", reverse_path, self.return_path, None)
        if not wrong:
            wrong += wrong_number(len(to) + len(cc) + len(bcc))
        headers = tuple(self.headers.items())
        if self.list_unsubscribe and not wrong:
            recipients = {each.email for each in (*to, *cc, *bcc)}
            headers += collected(
                wrong, "list_unsubscribe", self._unsubscribe_headers, (recipients, hosted_page), ()
            )
        if wrong:
            raise WrongMessage(wrong)
        is_html_only = self.body_html is not None and (not self.body or self.body.isspace())
        return Mail(
            sender=sender,
            to=to,
            cc=cc,
            bcc=bcc,
            subject=self.subject,
            body=self.body_html or "" if is_html_only else self.body,
            content_type="html" if is_html_only else self.content_type,
            message_id=self.message_id or f"<{unique}@{sender.email.rpartition('@')[2]}>",
            body_html=None if is_html_only else self.body_html,
            reply_to=reply_to,
            return_path=return_path,
            headers=headers,
            not_before=self.deferred_ts,
            attachments=tuple(each.attachment() for each in self.attachments),
        )

    def _unsubscribe_headers(
        self, given: tuple[set[str], Callable[[str], str] | None]
    ) -> tuple[tuple[str, str], ...]:
        """Return the header fields to unsubscribe; ValueError if they cannot be made."""
        recipients, hosted_page = given
        wanted = self.list_unsubscribe
        if isinstance(wanted, ListUnsubscribeIn):
            return unsubscribe_headers(wanted.url, wanted.mailto)
        if len(recipients) != 1:
            raise ValueError(f"true needs exactly one recipient, not {len(recipients)}")
        if hosted_page is None:
            raise ValueError("true is not possible here")
        return unsubscribe_headers(hosted_page(next(iter(recipients))), None)


def wrong_number(recipients: int) -> list[Mistake]:
    """Return the mistake of a message that has too few or too many recipients."""
    if 1 <= recipients <= MOST_RECIPIENTS:
        return []
    return [mistake("to, cc, bcc", f"{recipients} recipients; allowed: 1-{MOST_RECIPIENTS}")]


def reverse_path(text: str | None) -> str | None:
    """Return the reverse-path; empty or ``<>`` is the null one.

    RFC 5321 section 4.5.5 describes the null reverse-path.
    """
    if text is None:
        return None
    return "" if text.strip() in ("", "<>") else parse_mailbox(text).email


def collected(
    wrong: list[Mistake], field: str, parse: Callable[[Any], Parsed], value: Any, otherwise: Any
) -> Parsed:
    """Return the parsed value, or note the mistake and return ``otherwise``."""
    try:
        return parse(value)
    except ValueError as error:
        wrong.append(mistake(field, str(error)))
        return otherwise  # type: ignore[no-any-return]
