"""Texts of the dashboard: each has its Italian, with the same placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import mail_proxy.dashboard

FOLDER = Path(mail_proxy.dashboard.__path__[0])
_METHODS = [("**.py", "python"), ("**.html", "jinja2")]
_KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2)}
_PLACEHOLDER = re.compile(r"%\(\w+\)s")


def texts_of(message: Message) -> tuple[str, ...]:
    return message.string if isinstance(message.string, tuple) else (message.string,)


def translated() -> Iterator[Message]:
    with (FOLDER / "locale" / "it.po").open("rb") as file:
        yield from (message for message in read_po(file) if message.id)


def test_the_italian_catalogue_has_exactly_the_texts_of_the_pages() -> None:
    options = {"**.html": {"extensions": "jinja2.ext.do", "trimmed": "true"}}
    found = extract_from_dir(FOLDER, _METHODS, options, _KEYWORDS)
    used = {text[0] if isinstance(text, tuple) else text for _, _, text, *_ in found}
    known = {m.id[0] if isinstance(m.id, tuple) else m.id for m in translated()}
    assert known - used == set()
    assert used - known == set()


def test_translations_are_complete_and_keep_the_placeholders() -> None:
    for message in translated():
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        wanted = {name for text in ids for name in _PLACEHOLDER.findall(text)}
        assert all(texts_of(message)), message.id
        for text in texts_of(message):
            assert set(_PLACEHOLDER.findall(text)) <= wanted, message.id
        assert {n for t in texts_of(message) for n in _PLACEHOLDER.findall(t)} == wanted
