"""Pages on which a recipient unsubscribes: one button, no script, no cookie."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

_STYLE = (
    "body{font:18px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:30rem;padding:0 1rem;"
    "text-align:center;color-scheme:light dark}"
    "button{font:inherit;padding:.6rem 1.4rem;border-radius:.5rem;cursor:pointer}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Language",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


@dataclass(frozen=True)
class _Words:
    """Sentences of the pages in one language."""

    language: str
    ask: str
    button: str
    done: str
    unknown: str


_ENGLISH = _Words(
    "en",
    "Do you want to receive no more of these mails?",
    "Unsubscribe",
    "You are unsubscribed.",
    "This link is not valid.",
)
_ITALIAN = _Words(
    "it",
    "Non vuoi più ricevere questi messaggi?",
    "Annulla l'iscrizione",
    "L'iscrizione è annullata.",
    "Questo link non è valido.",
)


def ask(languages: str) -> str:
    """Return the page with the button; its form leads back to the same address."""
    words = _words(languages)
    button = f'<form method="post"><button>{words.button}</button></form>'
    return _page(words, words.ask, button)


def done(languages: str) -> str:
    """Return the page after the click."""
    words = _words(languages)
    return _page(words, words.done)


def unknown(languages: str) -> str:
    """Return the page of a link that is not valid."""
    words = _words(languages)
    return _page(words, words.unknown)


def _words(languages: str) -> _Words:
    """Return the words for ``Accept-Language``: its first language that there is."""
    for item in languages.split(",")[:20]:
        language = item.strip()[:2].lower()
        if language in ("en", "it"):
            return _ITALIAN if language == "it" else _ENGLISH
    return _ENGLISH


def _page(words: _Words, sentence: str, rest: str = "") -> str:
    return (
        f'<!doctype html><html lang="{words.language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{words.button}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{words.button}</h1><p>{sentence}</p>{rest}</body></html>"
    )
