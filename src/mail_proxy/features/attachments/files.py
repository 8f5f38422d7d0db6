"""Files of a mail, from its attachments and their contents: MIME type and place."""

from __future__ import annotations

import mimetypes
import re
from typing import Literal

from mail_proxy.attachments.content import Content
from mail_proxy.domain.attachment import Attachment
from mail_proxy.smtp.multipart import MailFile
from mail_proxy.smtp.streamed import VerbatimPart

_UNKNOWN = "application/octet-stream"
_MESSAGE, _CALENDAR = "message/rfc822", "text/calendar"
_COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
#: Types that Python does not know, or knows under an old name. Those of the host do not count, so
#: that a mail does not depend on it.
_MORE_TYPES = {
    ".7z": "application/x-7z-compressed",
    ".avif": "image/avif",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".eml": _MESSAGE,
    ".gz": "application/gzip",
    ".ics": _CALENDAR,
    ".md": "text/markdown",
    ".odp": "application/vnd.oasis.opendocument.presentation",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".p7m": "application/pkcs7-mime",
    ".p7s": "application/pkcs7-signature",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".rar": "application/vnd.rar",
    ".rtf": "application/rtf",
    ".vcf": "text/vcard",
    ".webp": "image/webp",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".xml": "application/xml",
    ".zip": "application/zip",
}
_TYPES = mimetypes.MimeTypes()
for _suffix, _type in _MORE_TYPES.items():
    _TYPES.add_type(_type, _suffix)
_METHOD = re.compile(rb"^METHOD:([A-Za-z-]{1,40})\r?$", re.MULTILINE | re.IGNORECASE)
_HEAD_OCTETS = 65_536


def mime_type_of(attachment: Attachment) -> str:
    """Return the MIME type that is given, or the one that the file name says."""
    if attachment.mime_type is not None:
        return attachment.mime_type
    found, compression = _TYPES.guess_type(attachment.filename)
    if compression is not None:
        return _COMPRESSED.get(compression, _UNKNOWN)
    # A multipart is made of other parts, never of a file.
    return _UNKNOWN if found is None or found.startswith("multipart/") else found


def reads_content(mime_type: str) -> bool:
    """Return whether ``mail_file`` reads the content of a file of this type."""
    return _bare(mime_type) in (_MESSAGE, _CALENDAR)


def mail_file(attachment: Attachment, mime_type: str, content: Content) -> MailFile:
    """Return an attachment as the composer takes it; raises OSError.

    A message is sent as it is, as receivers expect it; as an unknown type if SMTP cannot carry it
    so. A calendar with a method, such as an invitation, is an alternative to the text.
    """
    verbatim = None
    place: Literal["mixed", "related", "alternative"] = "mixed"
    disposition = attachment.disposition
    if attachment.content_id is not None and disposition != "attachment":
        place = "related"
    if _bare(mime_type) == _MESSAGE:
        verbatim = VerbatimPart.of(content)
        if verbatim is None:
            mime_type = _UNKNOWN
    elif _bare(mime_type) == _CALENDAR:
        mime_type, has_method = _calendar_type(mime_type, content)
        if has_method and disposition is None:
            place = "alternative"
    if place != "alternative" and disposition is None:
        disposition = "attachment" if attachment.content_id is None else "inline"
    return MailFile(
        filename=attachment.filename,
        mime_type=mime_type,
        content=content,
        content_id=attachment.content_id,
        disposition=disposition,
        place=place,
        verbatim=verbatim,
    )


def _calendar_type(mime_type: str, content: Content) -> tuple[str, bool]:
    """Return the type of a calendar with its method (RFC 6047 section 2.4)."""
    if "charset=" not in mime_type.lower():
        mime_type += "; charset=utf-8"
    if "method=" in mime_type.lower():
        return mime_type, True
    found = _METHOD.search(next(content.pieces(_HEAD_OCTETS), b""))
    if found is None:
        return mime_type, False
    return f"{mime_type}; method={found[1].decode().upper()}", True


def _bare(mime_type: str) -> str:
    return mime_type.partition(";")[0].strip().lower()
