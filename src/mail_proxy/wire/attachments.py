"""Attachment that a client hands in with a message: its fields and checks."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import orjson
from pydantic import AfterValidator, Field, field_validator, model_validator

from mail_proxy.domain.attachment import (
    BASE64_PREFIX,
    Attachment,
    FetchMode,
    inferred_mode,
    names_mount,
    without_md5,
)
from mail_proxy.domain.long_text import LongText
from mail_proxy.domain.web_url import check_web_url
from mail_proxy.wire.base64_text import decode_base64, without_blanks
from mail_proxy.wire.fields import Content, Identifier, OneLine, Request
from mail_proxy.wire.message_bounds import LONGEST_BASE64
from mail_proxy.wire.mistakes import WrongField
from mail_proxy.wire.tenants import ClientAuthIn

#: Characters of a path or URL. Browsers and servers take shorter ones.
_LONGEST_PATH = 4000
_FIRST_PRINTABLE = 32
_ATOM = r"[A-Za-z0-9!#$&^_.+-]{1,127}"
_PARAMETER = rf'; *{_ATOM}=(?:{_ATOM}|"[ !#-\[\]-~]{{0,200}}")'
_MIME_TYPE = re.compile(rf"({_ATOM}/{_ATOM})((?:{_PARAMETER}){{0,10}})")
_CONTENT_ID = re.compile(r"[!-;=?-~]{1,200}")
_MD5 = re.compile(r"[0-9a-fA-F]{32}")


def _content_id(value: str) -> str:
    bare = value.removeprefix("<").removesuffix(">")
    if not _CONTENT_ID.fullmatch(bare):
        raise ValueError("must be 1 to 200 visible ASCII characters, without < and > inside")
    return bare


def _mime_type(value: str) -> str:
    found = _MIME_TYPE.fullmatch(value.strip(" "))
    if found is None:
        raise ValueError("must look like type/subtype, in ASCII; parameters may follow")
    kind = found[1].lower()
    if kind.startswith("multipart/") or (kind.startswith("message/") and kind != "message/rfc822"):
        raise ValueError(f"{kind} cannot be the type of an attachment")
    return kind + found[2]


def _md5(value: str) -> str:
    if not _MD5.fullmatch(value):
        raise ValueError("must be 32 hexadecimal digits")
    return value.lower()


class AttachmentIn(Request):
    """A file that is sent with the mail."""

    filename: Identifier = Field(
        description="Name of the file in the mail, at most 255 characters. `{MD5:<32 hex>}` in it "
        "is taken out and means `content_md5`."
    )
    storage_path: Content = Field(
        description="Place of the content: `base64:` and the content itself, a URL, the path of a "
        "file, `<mount>:<path>` of a storage, or any text for the tenant's application."
    )
    fetch_mode: Literal["base64", "http_url", "filesystem", "storage", "endpoint"] | None = Field(
        None, description="How `storage_path` is read; default: by its form."
    )
    mime_type: Annotated[Identifier, AfterValidator(_mime_type)] | None = Field(
        None, description="MIME type; default: by the name of the file."
    )
    content_md5: Annotated[OneLine, AfterValidator(_md5)] | None = Field(
        None, description="MD5 of the content, hexadecimal. Another content is an error."
    )
    auth: ClientAuthIn | None = Field(
        None, description="Login for the modes `http_url` and `endpoint`. It is stored encrypted."
    )
    content_id: Annotated[OneLine, AfterValidator(_content_id)] | None = Field(
        None, description="Content-ID; an HTML body shows the image as `cid:<content_id>`."
    )
    disposition: Literal["attachment", "inline"] | None = Field(
        None,
        description="Content-Disposition; default: inline with a `content_id`, else attachment.",
    )

    @field_validator("filename")
    @classmethod
    def _has_name(cls, value: str) -> str:
        if not without_md5(value)[0].strip():
            raise ValueError("must have a name")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> AttachmentIn:
        mode, path = self.mode, self.storage_path
        if not path:
            raise WrongField("storage_path", "must not be empty")
        if mode is FetchMode.BASE64:
            self.storage_path, self.fetch_mode = _checked_base64(path), "base64"
            return self
        if isinstance(path, LongText) or len(path) > _LONGEST_PATH:
            raise WrongField("storage_path", f"too long; allowed: {_LONGEST_PATH} characters")
        if any(ord(character) < _FIRST_PRINTABLE for character in path):
            raise WrongField("storage_path", "must not contain control characters")
        if mode is FetchMode.HTTP_URL:
            try:
                check_web_url(path)
            except ValueError as error:
                raise WrongField("storage_path", str(error)) from None
        if mode is FetchMode.STORAGE and not names_mount(path):
            raise WrongField("storage_path", "must look like <mount>:<path>")
        if self.auth is not None and mode not in (None, FetchMode.HTTP_URL, FetchMode.ENDPOINT):
            raise WrongField("auth", f"has no meaning for the mode {mode}")
        return self

    @property
    def mode(self) -> FetchMode | None:
        """The given mode, or the one that the form of the path says."""
        if self.fetch_mode is not None:
            return FetchMode(self.fetch_mode)
        path = self.storage_path
        return inferred_mode(path if isinstance(path, str) else path.pieces[0])

    def attachment(self) -> Attachment:
        """Return the attachment; its login is not sealed yet."""
        filename, marked = without_md5(self.filename)
        auth = self.auth.model_dump(exclude_none=True) if self.auth is not None else None
        return Attachment(
            filename=filename,
            path=self.storage_path,
            mode=self.mode,
            mime_type=self.mime_type,
            md5=self.content_md5 or marked,
            auth=None if auth is None else orjson.dumps(auth).decode(),
            content_id=self.content_id,
            disposition=self.disposition,
        )


def _checked_base64(text: str | LongText) -> str | LongText:
    """Return base64 as one line without prefix; raise WrongField for anything else."""
    begin = text if isinstance(text, str) else text.pieces[0]
    if begin[: len(BASE64_PREFIX)].lower() == BASE64_PREFIX:
        begin = begin[len(BASE64_PREFIX) :]
        text = begin if isinstance(text, str) else LongText((begin, *text.pieces[1:]))
    if len(text) > LONGEST_BASE64:
        reason = f"more than {LONGEST_BASE64} characters of base64; allowed: {LONGEST_BASE64}"
        raise WrongField("storage_path", reason)
    size = 0
    try:
        for octets in decode_base64(text):
            size += len(octets)
    except ValueError as error:
        raise WrongField("storage_path", str(error)) from None
    return text if len(text) == -(-size // 3) * 4 else without_blanks(text)
