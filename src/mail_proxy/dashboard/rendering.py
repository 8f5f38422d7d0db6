"""Templates of the dashboard, in English and Italian."""

from __future__ import annotations

import gettext
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, cast
from urllib.parse import quote

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mail_proxy.dashboard import wording

_FOLDER = Path(__file__).parent
_CATALOGUES = {"it": _FOLDER / "locale" / "it.po"}
_FALLBACK = "en"
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_NBSP = "\N{NO-BREAK SPACE}"
_LONGEST_HEADER = 200
_LONGEST_JSON = 2000


class _Catalogue(gettext.NullTranslations):
    """Texts of a language, read from its catalogue; others stay English."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        # Loaded here: a service whose dashboard nobody opens does not need it.
        from babel.messages.pofile import read_po

        self._texts: dict[str, tuple[str, ...]] = {}
        with path.open("rb") as file:
            for message in read_po(file, ignore_obsolete=True):
                key = str(
                    message.id if isinstance(message.id, str) else next(iter(message.id or ("",)))
                )
                found = message.string or ""
                texts = (found,) if isinstance(found, str) else tuple(found)
                if key and all(texts) and not message.fuzzy:
                    self._texts[key] = texts

    def gettext(self, message: str) -> str:
        """Return the text in this language."""
        return self._texts.get(message, (message,))[0]

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        """Return the text for a number of things."""
        texts = self._texts.get(msgid1, (msgid1, msgid2))
        return texts[0] if n == 1 else texts[-1]


class StaticFile:
    """File that browsers may keep: its path holds the hash of its content."""

    def __init__(self, path: Path) -> None:
        self.content = path.read_bytes()
        self.media_type = _TYPES[path.suffix[1:]]
        self.version = hashlib.sha256(self.content).hexdigest()[:12]


class Pages:
    """Renders templates. Both are loaded with the first page that needs them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._environments: dict[str, Environment] = {}

    @cached_property
    def static(self) -> Mapping[str, StaticFile]:
        """The style, the script and the icons, by file name."""
        return {path.name: StaticFile(path) for path in (_FOLDER / "static").iterdir()}

    def language(self, accepted: str) -> str:
        """Return the first language of an Accept-Language header that there is."""
        wanted: list[tuple[float, str]] = []
        for part in accepted[:_LONGEST_HEADER].split(","):
            name, _, weight = part.partition(";q=")
            code = name.strip().lower().partition("-")[0]
            if code in (*_CATALOGUES, _FALLBACK):
                try:
                    quality = float(weight or 1)
                except ValueError:
                    continue
                if quality > 0:
                    wanted.append((-quality, code))
        return min(wanted, key=lambda pair: pair[0])[1] if wanted else _FALLBACK

    def texts(self, language: str) -> gettext.NullTranslations:
        """Return the texts of a language."""
        return cast(gettext.NullTranslations, self._environment(language).globals["texts"])

    def render(self, language: str, template: str, data: Mapping[str, Any]) -> str:
        """Return a page."""
        return self._environment(language).get_template(template).render(data)

    def _environment(self, language: str) -> Environment:
        with self._lock:
            if language not in self._environments:
                self._environments[language] = self._made(language)
            return self._environments[language]

    def _made(self, language: str) -> Environment:
        path = _CATALOGUES.get(language)
        texts = _Catalogue(path) if path else gettext.NullTranslations()
        environment = Environment(
            loader=PackageLoader("mail_proxy.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
        )
        environment.install_gettext_callables(  # type: ignore[attr-defined]
            texts.gettext, texts.ngettext, newstyle=True
        )
        words = wording.Wording(texts)
        environment.filters.update(
            number=words.number,
            when=_when,
            clock=lambda at: f"{datetime.fromtimestamp(at, UTC):%H:%M}",
            pretty=_pretty,
            ago=words.duration,
            segment=lambda text: quote(str(text), safe=""),
            **words.filters,
        )
        environment.globals.update(texts=texts, static=self._static_name, words=words)
        return environment

    def _static_name(self, name: str) -> str:
        return f"static/{self.static[name].version}/{name}"


def _pretty(value: Any) -> str:
    """Return the beginning of a value as JSON: a request may name 10 000 messages."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    return text if len(text) <= _LONGEST_JSON else f"{text[:_LONGEST_JSON]} ..."


def _when(instant: float | None) -> Markup:
    """Return a time element in UTC; the script adds the browser's own zone."""
    if instant is None:
        return Markup("<span class=faint>&ndash;</span>")
    at = datetime.fromtimestamp(instant, UTC)
    shown = f"{at:%Y-%m-%d %H:%M}".replace(" ", _NBSP)
    return Markup('<time datetime="{}">{}<span class="zone">{}UTC</span></time>').format(
        f"{at:%Y-%m-%dT%H:%M:%SZ}", shown, _NBSP
    )
