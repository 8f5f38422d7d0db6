"""Rules of a tenant for large attachments, and the texts of links to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Literal, get_args

Action = Literal["warn", "reject", "rewrite"]
Language = Literal["en", "it"]
ACTIONS: tuple[Action, ...] = get_args(Action)
_DAY_SECONDS = 86_400.0
_MB = 1_000_000
_ENDS = re.compile(r"</(body|html)\s*>", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class LinkTexts:
    """Texts around links in a body: an introduction, and a line for each file.

    Lines may have ``{name}``, ``{size}``, ``{url}`` and ``{until}``. ``html_line`` is HTML.
    """

    intro: str
    text_line: str = "{name} ({size}): {url}"
    html_line: str = '<a href="{url}">{name}</a> ({size})'


_TEXTS: Mapping[str, LinkTexts] = {
    "en": LinkTexts("Attachments to download (available until {until}):"),
    "it": LinkTexts("Allegati da scaricare (disponibili fino al {until}):"),
}


@dataclass(frozen=True, slots=True)
class LargeFileConfig:
    """A tenant's rules for attachments of more than ``most_bytes``.

    ``storage_url`` names where they are kept if ``action`` is rewrite: ``s3://bucket/prefix``,
    ``gs://``, ``az://``, ``file:///folder`` or ``<storage>:prefix``.
    """

    action: Action
    most_bytes: int
    storage_url: str | None
    public_base_url: str | None
    ttl_seconds: float
    lifespan_seconds: float | None
    texts: LinkTexts

    @classmethod
    def from_record(cls, record: Mapping[str, Any] | None) -> LargeFileConfig | None:
        """Build from the stored form; None if it is not enabled."""
        if not record or not record.get("enabled"):
            return None
        usual = _TEXTS[record.get("language", "en")]
        template = record.get("template") or {}
        days = record.get("lifespan_after_download_days")
        return cls(
            action=record.get("action", "warn"),
            most_bytes=int(record.get("max_size_mb", 10.0) * _MB),
            storage_url=record.get("storage_url"),
            public_base_url=record.get("public_base_url"),
            ttl_seconds=record.get("file_ttl_days", 30) * _DAY_SECONDS,
            lifespan_seconds=None if days is None else days * _DAY_SECONDS,
            texts=LinkTexts(
                template.get("intro", usual.intro),
                template.get("text_line", usual.text_line),
                template.get("html_line", usual.html_line),
            ),
        )


@dataclass(frozen=True, slots=True)
class FileLink:
    """Link to a file that was taken out of a mail.

    ``until`` is a date such as 2026-12-31.
    """

    name: str
    size: int
    url: str
    until: str


def with_links_in_text(body: str, links: tuple[FileLink, ...], texts: LinkTexts) -> str:
    """Return a plain text with a list of links at its end."""
    lines = [f"- {_filled(texts.text_line, _values(link))}" for link in links]
    intro = _filled(texts.intro, _values(links[0]))
    above = f"{body.rstrip()}\n\n" if body.strip() else ""
    return f"{above}{intro}\n\n" + "\n".join(lines) + "\n"


def with_links_in_html(body: str, links: tuple[FileLink, ...], texts: LinkTexts) -> str:
    """Return an HTML text with a list of links at the end of its body."""
    items = "".join(
        f"<li>{_filled(texts.html_line, _escaped(_values(link)))}</li>\n" for link in links
    )
    intro = escape(_filled(texts.intro, _values(links[0])))
    added = f"<div>\n<p>{intro}</p>\n<ul>\n{items}</ul>\n</div>\n"
    ends = {found[1].lower(): found.start() for found in _ENDS.finditer(body)}
    end = ends.get("body", ends.get("html"))
    return f"{body}\n{added}" if end is None else f"{body[:end]}{added}{body[end:]}"


def shown_size(octets: int) -> str:
    """Return a size in kB or MB (powers of ten)."""
    return f"{octets / _MB:.1f} MB" if octets >= _MB else f"{octets / 1000:.0f} kB"


def _values(link: FileLink) -> dict[str, str]:
    size = shown_size(link.size)
    return {"{name}": link.name, "{size}": size, "{url}": link.url, "{until}": link.until}


def _escaped(values: Mapping[str, str]) -> dict[str, str]:
    return {name: escape(value) for name, value in values.items()}


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Put values in the place of their names.

    A value that looks like a name stays as it is.
    """
    pieces, rest = [], template
    while rest:
        found = {name: rest.find(name) for name in values if name in rest}
        if not found:
            break
        name = min(found, key=lambda each: found[each])
        pieces += [rest[: found[name]], values[name]]
        rest = rest[found[name] + len(name) :]
    return "".join([*pieces, rest])
