"""JSON shape of a tenant's rules for large attachments."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from mail_proxy.domain.large_files import Action, Language
from mail_proxy.domain.web_url import check_web_url
from mail_proxy.wire.fields import Matching, NotBool, OneLine, Request
from mail_proxy.wire.mistakes import WrongField

_Days = Annotated[float, NotBool, Field(gt=0, le=3650, allow_inf_nan=False)]
_StorageUrl = Annotated[
    OneLine,
    Field(max_length=1000),
    Matching(
        r"(?:(?:s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]{1,254}(?:/.*)?|file:///.*"
        r"|(?!(?:s3|gs|az|file|https?):)[A-Za-z0-9][A-Za-z0-9_.-]{0,63}:(?!//).*)",
        "allowed: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, file:///folder, "
        "or <storage>:prefix",
    ),
]
_LINK_TEMPLATE: dict[str, Any] = {
    "intro": "These files are too large for a mail. You can fetch them until {until}:",
    "text_line": "- {name} ({size}): {url}",
    "html_line": '<li><a href="{url}">{name}</a> ({size})</li>',
}
#: Example of the rules of a tenant.
LARGE_FILES: dict[str, Any] = {
    "enabled": True,
    "max_size_mb": 10.0,
    "action": "rewrite",
    "storage_url": "s3://acme-files/mail",
    "public_base_url": "https://mail.acme.example/files",
    "file_ttl_days": 30.0,
    "lifespan_after_download_days": 7.0,
    "language": "en",
    "template": _LINK_TEMPLATE,
}
_Line = Annotated[OneLine, Field(min_length=1, max_length=1000)]


class LinkTemplateIn(Request):
    """Texts around the links, instead of the usual ones of the language."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LINK_TEMPLATE]})

    intro: _Line | None = Field(None, description="Text above the list; may have `{until}`.")
    text_line: _Line | None = Field(
        None, description="Line of a file in plain text, with {name}, {size}, {url}, {until}."
    )
    html_line: _Line | None = Field(
        None, description="List item of a file, as HTML, with {name}, {size}, {url}, {until}."
    )


class LargeFileIn(Request):
    """Rules for large attachments of a tenant."""

    model_config = ConfigDict(json_schema_extra={"examples": [LARGE_FILES]})

    enabled: bool = Field(False, description="Whether the rules are in effect.")
    max_size_mb: Annotated[float, NotBool, Field(gt=0, le=100_000, allow_inf_nan=False)] = Field(
        10.0, description="Attachments above this are large, MB (10^6 bytes)."
    )
    action: Action = Field(
        "warn",
        description="warn: log and send. reject: give up the message. rewrite: upload the file "
        "and put a link into the body.",
    )
    storage_url: _StorageUrl | None = Field(
        None,
        description="Place of uploaded files: s3://bucket/prefix, gs://, az://, file:///folder or "
        "<storage>:prefix; required for rewrite.",
    )
    public_base_url: Annotated[str, Field(max_length=1000)] | None = Field(
        None,
        description="URL in front of `/{token}/{name}` in links to files that no provider serves; "
        "default: `/files` of this service.",
    )
    file_ttl_days: _Days = Field(30.0, description="Age at which uploaded files are removed, days.")
    lifespan_after_download_days: _Days | None = Field(
        None,
        description="Time from the last download to the removal, days; of links of this service.",
    )
    language: Language = Field("en", description="Language of the text around links: en, it.")
    template: LinkTemplateIn | None = Field(None, description="Other texts around links.")

    @model_validator(mode="after")
    def _complete(self) -> LargeFileIn:
        if self.enabled and self.action == "rewrite" and self.storage_url is None:
            raise WrongField("storage_url", "required for the action rewrite")
        if self.storage_url is not None and "/../" in f"{self.storage_url}/":
            raise WrongField("storage_url", "must not have ..")
        if self.public_base_url is not None:
            try:
                check_web_url(self.public_base_url)
            except ValueError as error:
                raise WrongField("public_base_url", str(error)) from None
        return self
