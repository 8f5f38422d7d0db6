"""Content of a mail: texts and files as MIME parts in multiparts (RFC 2046).

A mail with everything is ``mixed(alternative(plain, related(html, images), calendar), files)``.
Each multipart that would have one member is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal
from urllib.parse import quote

from mail_proxy.domain.mail import Mail
from mail_proxy.smtp.headers import encoded_words
from mail_proxy.smtp.streamed import Base64Part, Content, FilePart, Rest, VerbatimPart
from mail_proxy.smtp.text_part import text_part

#: Names that are written as they are, in quotes.
_PLAIN_NAME = re.compile(r"[ -~]{1,60}")
_QUOTED = str.maketrans({'"': r"\"", "\\": r"\\"})
#: Characters of one section of a long parameter (RFC 2231 section 3).
_SECTION = 60
_PERCENT = re.compile(r"%[0-9A-F]{2}|.")
#: A piece of a message.
Chunk = bytes | FilePart


@dataclass(frozen=True, slots=True)
class MailFile:
    """A file that is sent with a mail, as the composer needs it.

    ``mime_type`` may have parameters. The content is sent in base64, unless ``verbatim`` makes
    octets of it that are sent as they are. ``place`` is the multipart that the file belongs to, if
    the mail has one: ``related`` to the HTML, ``alternative`` to the text, or ``mixed``.
    """

    filename: str
    mime_type: str
    content: Content
    content_id: str | None = None
    disposition: Literal["attachment", "inline"] | None = "attachment"
    place: Literal["mixed", "related", "alternative"] = "mixed"
    verbatim: VerbatimPart | None = None

    @property
    def part(self) -> FilePart:
        """The octets of the body of its MIME part."""
        return Base64Part(self.content) if self.verbatim is None else self.verbatim

    @property
    def encoding(self) -> str:
        """The value of Content-Transfer-Encoding."""
        return "base64" if self.verbatim is None else "8bit" if self.is_8bit else "7bit"

    @property
    def is_8bit(self) -> bool:
        """True if the file has octets above 127 that no encoding hides."""
        return self.verbatim is not None and self.verbatim.is_8bit


def content_of(mail: Mail, files: Sequence[MailFile] = ()) -> tuple[tuple[bytes, ...], Rest | None]:
    """Return the Content-* fields, the empty line and the body of a mail.

    The first result is what comes before the first file. It has several pieces if it is long.
    """
    texts = [text_part(mail.content_type, mail.body)]
    if mail.body_html is not None:
        texts.append(text_part("html", mail.body_html))
    elif not files:
        return texts[0], None
    is_long = any(len(text) > 1 for text in texts)
    if files:
        return _split(_with_files(mail, files, texts), is_long=is_long)
    boundary = _boundary(mail.message_id, texts)
    return _split(_multipart("alternative", boundary, texts), is_long=is_long)


def _with_files(
    mail: Mail, files: Sequence[MailFile], texts: Sequence[Sequence[bytes]]
) -> Sequence[Chunk]:
    has_html = mail.body_html is not None or mail.content_type == "html"
    related = [_file(each) for each in files if has_html and each.place == "related"]
    other = [_file(each) for each in files if each.place == "alternative"]
    mixed = [
        _file(each)
        for each in files
        if each.place == "mixed" or (each.place == "related" and not has_html)
    ]
    # A mail that is attached to a copy of itself has the boundaries of a mail without it.
    seed = f"{mail.message_id} {[(each.filename, each.part.size) for each in files]}"
    eight_bit = b"\r\nContent-Transfer-Encoding: 8bit" * any(each.is_8bit for each in files)

    def joined(
        kind: str, parts: Sequence[Sequence[Chunk]], parameters: bytes = b""
    ) -> Sequence[Chunk]:
        if len(parts) == 1:
            return parts[0]
        boundary = _boundary(f"{kind} {seed}", texts)
        return _multipart(kind, boundary, parts, parameters, eight_bit)

    *plain, last = texts
    html = joined("related", [last, *related], b' type="text/html";')
    return joined("mixed", [joined("alternative", [*plain, html, *other]), *mixed])


def _multipart(
    kind: str,
    boundary: bytes,
    parts: Sequence[Sequence[Chunk]],
    parameters: bytes = b"",
    fields: bytes = b"",
) -> list[Chunk]:
    delimiter = b"\r\n--" + boundary
    chunks: list[Chunk] = [
        b'Content-Type: multipart/%b;%b\r\n boundary="%b"%b\r\n'
        % (kind.encode(), parameters, boundary, fields)
    ]
    for part in parts:
        chunks += [delimiter, b"\r\n", *part]
    chunks += [delimiter, b"--\r\n"]
    return chunks


def _file(file: MailFile) -> list[Chunk]:
    fields = [f"Content-Type: {file.mime_type}"]
    if "name=" not in file.mime_type:
        fields[0] += f";\r\n {_old_name(file.filename)}"
    fields.append(f"Content-Transfer-Encoding: {file.encoding}")
    if file.disposition is not None:
        names = ";\r\n ".join([file.disposition, *_filename(file.filename)])
        fields.append(f"Content-Disposition: {names}")
    if file.content_id is not None:
        fields.append(f"Content-ID: <{file.content_id}>")
    return [("\r\n".join(fields) + "\r\n\r\n").encode(), file.part]


def _filename(name: str) -> list[str]:
    """Return the parameters with a file name; one that is not plain as in RFC 2231."""
    if _is_plain(name):
        return [f'filename="{name.translate(_QUOTED)}"']
    # Not in the middle of a character that is encoded.
    sections = [""]
    for piece in _PERCENT.findall(quote(name, safe="")):
        if len(sections[-1]) + len(piece) > _SECTION:
            sections.append("")
        sections[-1] += piece
    if len(sections) == 1:
        return [f"filename*=utf-8''{sections[0]}"]
    sections[0] = f"utf-8''{sections[0]}"
    return [f"filename*{number}*={section}" for number, section in enumerate(sections)]


def _old_name(name: str) -> str:
    """Return the parameter ``name``, as readers take it that do not know RFC 2231."""
    if _is_plain(name):
        return f'name="{name.translate(_QUOTED)}"'
    words = encoded_words("Content-Type", name).replace(" ", "\r\n ")
    return f'name="{words}"'


def _is_plain(name: str) -> bool:
    return _PLAIN_NAME.fullmatch(name) is not None and "=?" not in name


def _split(chunks: Iterable[Chunk], *, is_long: bool) -> tuple[tuple[bytes, ...], Rest | None]:
    """Return the octets before the first file, and the rest with its octets joined.

    The first result is in pieces if it is long: a join would hold the interpreter lock.
    """
    first: list[bytes] = []
    rest: list[Chunk] = []
    octets = first
    for chunk in chunks:
        if isinstance(chunk, bytes):
            octets.append(chunk)
            continue
        if rest:
            rest.append(b"".join(octets))
        rest.append(chunk)
        octets = []
    if rest:
        rest.append(b"".join(octets))
    before = tuple(first) if is_long else (b"".join(first),)
    return before, Rest(tuple(rest)) if rest else None


def _boundary(message_id: str, parts: Sequence[Sequence[bytes]]) -> bytes:
    """Return a MIME boundary that occurs in no part.

    No transfer encoding produces its first two octets.
    """
    boundary = b"=_" + blake2b(message_id.encode(), digest_size=16).hexdigest().encode()
    while any(_occurs(boundary, part) for part in parts):
        boundary += b"_"
    return boundary


def _occurs(boundary: bytes, pieces: Sequence[bytes]) -> bool:
    if len(pieces) == 1:
        return boundary in pieces[0]
    before = b""
    for piece in pieces:
        octets = before + piece
        if boundary in octets:
            return True
        before = octets[-len(boundary) :]
    return False
