"""Bounce parser: from the octets of a mail to the recipients that failed, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from mail_proxy.domain.mail import TRACKING_HEADER
from mail_proxy.inbound.addresses import addresses_in, field_address, same, unique
from mail_proxy.inbound.bounces.automatic import is_automatic_answer
from mail_proxy.inbound.bounces.category import category_of, names_a_cause, type_of
from mail_proxy.inbound.bounces.codes import Codes
from mail_proxy.inbound.bounces.delivery_status import StatusRecord
from mail_proxy.inbound.bounces.explanation import FailedRecipient
from mail_proxy.inbound.bounces.feedback import read_feedback
from mail_proxy.inbound.bounces.info import (
    BouncedRecipient,
    BounceInfo,
    BounceKind,
    BounceType,
)
from mail_proxy.inbound.bounces.mail import ReturnedMail
from mail_proxy.inbound.bounces.returned import message_id
from mail_proxy.inbound.bounces.ses_notification import read_notification
from mail_proxy.inbound.bounces.signs import has
from mail_proxy.inbound.mime import Part, read_fields, read_message

_MOST_REASON = 500
_MOST_RECIPIENTS = 1_000
_MOST_NESTED = 3
#: For so many recipients, the whole explanation is searched for the cause of each.
_FEW_RECIPIENTS = 10
_DISPOSITIONS = frozenset(
    {"message/disposition-notification", "message/global-disposition-notification"}
)
#: Header fields of PEC mail, which has its own parser.
_PEC_FIELDS = ("x-ricevuta", "x-trasporto")


class BounceParser:
    """Parser of bounces, complaints and automatic answers; takes any octets."""

    def parse(self, octets: bytes) -> BounceInfo:
        """Return what a mail says about an earlier message.

        Takes time and memory in proportion to the size of the mail; not for the event loop.
        """
        return _parsed(read_message(octets), 0)


def _parsed(message: Part, depth: int) -> BounceInfo:
    mail = ReturnedMail(message)
    if any(message.header(name) is not None for name in _PEC_FIELDS):
        return BounceInfo(BounceKind.NONE, delivered_to=tuple(mail.delivered_to))
    for detect in _DETECTORS:
        info = detect(mail)
        if info is not None:
            return info
    inner = _wrapped(mail) if depth < _MOST_NESTED else None
    if inner is not None:
        return _parsed(inner, depth + 1)
    return BounceInfo(BounceKind.NONE, delivered_to=tuple(mail.delivered_to))


def _info(
    mail: ReturnedMail,
    kind: BounceKind,
    recipients: Iterable[BouncedRecipient] = (),
    feedback_type: str | None = None,
) -> BounceInfo:
    found_id, tracking = mail.ids
    envelope_id = mail.status.message.get("original-envelope-id")
    return BounceInfo(
        kind,
        tuple(recipients)[:_MOST_RECIPIENTS],
        found_id,
        tracking,
        envelope_id[:300] if envelope_id else None,
        feedback_type,
        tuple(mail.delivered_to),
    )


def _complaint(mail: ReturnedMail) -> BounceInfo | None:
    feedback = read_feedback(mail.message, mail.returned)
    if feedback is None:
        return None
    kind = BounceKind.COMPLAINT if feedback.is_complaint else BounceKind.NONE
    recipients = [BouncedRecipient(a, reason=feedback.type) for a in feedback.recipients]
    return _info(mail, kind, recipients, feedback.type)


def _read_receipt(mail: ReturnedMail) -> BounceInfo | None:
    """Message disposition notifications (RFC 8098) are neither bounces nor answers."""
    is_one = mail.message.parameters.get("report-type", "").lower() == "disposition-notification"
    part = next((p for p in mail.message.leaves() if p.content_type in _DISPOSITIONS), None)
    if not is_one and part is None:
        return None
    fields = dict(read_fields(part.text())) if part else {}
    info = _info(mail, BounceKind.NONE)
    address = field_address(fields.get("final-recipient", ""))
    if address and _is_rejection(mail):
        reason, codes = mail.explanation.rest()
        texts = (reason, mail.text, "rejected by")
        one = _bounced(address, codes, reason or mail.subject, texts, is_delay=False)
        info = replace(info, kind=BounceKind.BOUNCE, recipients=(one,))
    found_id = message_id(fields.get("original-message-id", "")) or info.message_id
    return replace(info, message_id=found_id)


def _is_rejection(mail: ReturnedMail) -> bool:
    """Return whether a filter of the recipient refused the mail (Sieve, RFC 5429)."""
    submitted = (mail.message.header("auto-submitted") or "").lower()
    return "rejected" in submitted or has("rejection", mail.text[:2_000])


def _status_report(mail: ReturnedMail) -> BounceInfo | None:
    records = [(record, record.action) for record in mail.status.records]
    failed = [record for record, action in records if action == "failed"]
    delayed = [record for record, action in records if action == "delayed"]
    delivered = [r for r, action in records if action in ("delivered", "relayed", "expanded")]
    if failed and not any("action" in record.fields for record in failed) and _is_delay(mail):
        failed, delayed = [], [*failed, *delayed]
    if failed:
        return _info(mail, BounceKind.BOUNCE, _from_records(mail, failed, is_delay=False))
    if delayed:
        return _info(mail, BounceKind.DELAYED, _from_records(mail, delayed, is_delay=True))
    if delivered:
        sent_to = mail.returned.recipients
        addresses = unique(filter(None, (record.address(sent_to) for record in delivered)))
        return _info(mail, BounceKind.DELIVERED, map(BouncedRecipient, addresses))
    return None


def _from_records(
    mail: ReturnedMail, records: list[StatusRecord], *, is_delay: bool
) -> list[BouncedRecipient]:
    sent_to = mail.returned.recipients
    found: dict[str, BouncedRecipient] = {}
    is_only = len(records) == 1
    for record in records[:_MOST_RECIPIENTS]:
        address = record.address(sent_to) or (_only_recipient(mail) if is_only else "")
        if not address or address.casefold() in found:
            continue
        about = mail.explanation.about(address) if len(records) < 50 else FailedRecipient(address)
        if is_only and not about.reason:
            about.reason, about.codes = mail.explanation.rest()
        codes = record.codes()
        codes = codes.better(about.codes) if codes.is_generic else codes
        said = record.diagnostic()
        texts = (said, record.comment(), about.reason, about.about, mail.text if is_only else "")
        reason = said or about.reason or record.comment() or record.fields.get("status", "")
        found[address.casefold()] = _bounced(address, codes, reason, texts, is_delay=is_delay)
    return list(found.values())


def _challenge(mail: ReturnedMail) -> BounceInfo | None:
    """Challenges of some spam filters have the form of a delivery report."""
    if mail.is_from_daemon or not mail.status.records:
        return None
    return _info(mail, BounceKind.AUTO_REPLY) if has("challenge", mail.text[:4_000]) else None


def _ses_notification(mail: ReturnedMail) -> BounceInfo | None:
    found = read_notification(mail.text, TRACKING_HEADER)
    if found is None:
        return None
    recipients = [BouncedRecipient(one.address) for one in found.recipients]
    if found.kind in (BounceKind.BOUNCE, BounceKind.DELAYED):
        recipients = [
            _bounced(
                one.address,
                one.codes,
                one.answer,
                (one.answer,),
                is_delay=found.kind is BounceKind.DELAYED,
            )
            for one in found.recipients
        ]
    info = _info(mail, found.kind, recipients)
    return replace(info, message_id=found.message_id, tracking_id=found.tracking_id)


def _automatic(mail: ReturnedMail) -> BounceInfo | None:
    if mail.is_from_daemon or mail.message.header("x-failed-recipients"):
        return None
    if not has("auto subject", mail.subject) and (
        mail.has_bounce_subject or _is_unmarked_bounce(mail)
    ):
        return None
    if is_automatic_answer(mail.message, mail.subject, mail.text[:4_000]):
        return _info(mail, BounceKind.AUTO_REPLY)
    return None


def _text_bounce(mail: ReturnedMail) -> BounceInfo | None:
    named = addresses_in(mail.message.header("x-failed-recipients") or "")
    is_sure = bool(named) or mail.has_bounce_subject or mail.is_delivery_report
    beginning = mail.text[:8_000]
    says_failure = has("bounce text", beginning) or has("delay text", beginning)
    if not (is_sure or mail.is_from_daemon or _is_unmarked_bounce(mail)):
        return None
    if has("delivered subject", mail.subject) and not named:
        return _info(mail, BounceKind.DELIVERED)
    if not (named or says_failure or (mail.is_from_daemon and mail.has_bounce_subject)):
        return None
    failed = [_named(mail, address) for address in named]
    failed = failed or mail.explanation.failed(mail.domain)
    if not failed:
        if _wrapped(mail, only_report=True):
            return None
        only = _only_recipient(mail)
        failed = [FailedRecipient(only)] if only else []
    if not failed and not (mail.has_bounce_subject and mail.is_from_daemon):
        return None
    if not (named or mail.is_from_daemon or mail.has_null_sender or mail.is_delivery_report):
        # A person may write that a parcel was not delivered.
        failed = [one for one in failed if _is_plausible(one)]
        if not failed:
            return None
    is_delay = _is_delay(mail) and not any(one.codes.permanence == "5" for one in failed)
    whole = mail.text if len(failed) <= _FEW_RECIPIENTS else ""
    recipients = [_from_text(mail, one, len(failed) == 1, is_delay, whole) for one in failed]
    return _info(mail, BounceKind.DELAYED if is_delay else BounceKind.BOUNCE, recipients)


def _named(mail: ReturnedMail, address: str) -> FailedRecipient:
    """Return what is said about an address of ``X-Failed-Recipients``."""
    about = mail.explanation.about(address)
    about.address = mail.explanation.written_to(address)
    return about


def _is_unmarked_bounce(mail: ReturnedMail) -> bool:
    """Return whether a mail without signs returns a message and gives codes."""
    if not (mail.has_null_sender and mail.returned.fields):
        return False
    if not has("bounce text", mail.text[:8_000]):
        return False
    return any(one.codes != Codes() for one in mail.explanation.failed())


def _is_plausible(failed: FailedRecipient) -> bool:
    return failed.is_certain or failed.codes != Codes() or names_a_cause(failed.reason)


def _from_text(
    mail: ReturnedMail, failed: FailedRecipient, is_only: bool, is_delay: bool, whole: str
) -> BouncedRecipient:
    reason, codes = failed.reason, failed.codes
    if not reason or (is_only and codes == Codes()):
        rest, rest_codes = mail.explanation.rest()
        reason, codes = (reason or rest), (rest_codes if codes == Codes() else codes)
        if rest_codes != Codes() and is_only:
            reason = rest
    texts = (reason, failed.about, whole)
    return _bounced(failed.address, codes, reason, texts, is_delay=is_delay)


def _bounced(
    address: str, codes: Codes, reason: str, texts: Iterable[str], *, is_delay: bool
) -> BouncedRecipient:
    category = category_of(codes, *texts)
    kind = BounceType.SOFT if is_delay else type_of(codes, category)
    return BouncedRecipient(address, kind, codes.shown(), category, _one_line(reason))


def _is_delay(mail: ReturnedMail) -> bool:
    if has("final text", mail.text[:4_000]):
        return False
    return has("delay subject", mail.subject) or has("delay text", mail.text[:4_000])


def _only_recipient(mail: ReturnedMail) -> str:
    """Return the only recipient of the returned message, or the only failed one."""
    sent_to = mail.returned.recipients
    if len(sent_to) == 1:
        return sent_to[0]
    failed = mail.explanation.failed()
    if len(failed) == 1:
        return failed[0].address
    received_for = mail.returned.received_for or ""
    return received_for if not sent_to or received_for in sent_to else ""


def _wrapped(mail: ReturnedMail, *, only_report: bool = False) -> Part | None:
    """Return a bounce that a spam filter wrapped into a mail of the same sender."""
    sender = addresses_in(mail.message.header("from") or "")
    for part in mail.message.leaves():
        if part.content is None:
            continue
        if only_report and part.content.content_type != "multipart/report":
            continue
        inner = addresses_in(part.content.header("from") or "")
        if mail.is_from_daemon or (sender and inner and same(sender[0], inner[0])):
            return part.content
    return None


def _one_line(text: str) -> str:
    clean = "".join(c if c.isprintable() else " " for c in text[: 4 * _MOST_REASON])
    line = " ".join(clean.split()).lstrip("# ")
    for opening, closing in ("<>", "()"):
        if line.startswith(opening) and line.find(closing) in (-1, len(line) - 1):
            line = line.strip(opening + closing)
    return line[:_MOST_REASON]


#: In the order in which they are asked.
_DETECTORS: tuple[Callable[[ReturnedMail], BounceInfo | None], ...] = (
    _complaint,
    _read_receipt,
    _challenge,
    _status_report,
    _ses_notification,
    _automatic,
    _text_bounce,
)
