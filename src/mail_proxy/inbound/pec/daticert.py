"""Bounded reader of ``daticert.xml``, the data of PEC receipts (RFC 6109)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from xml.parsers import expat

from mail_proxy.domain.charsets import decode

MOST_BYTES = 2_000_000
_MOST_ELEMENTS = 20_000
_MOST_DEPTH = 20
_MOST_TEXT = 2_000
_MOST_RECIPIENTS = 2_000

_DECLARATION = re.compile(r"^\s{0,100}<\?xml[^>]{0,300}\?>")
_ZONE = re.compile(r"([+-])(\d{2}):?(\d{2})")
_DAY = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})")
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")


class _Refused(Exception):
    """The document declares entities, or exceeds a bound."""


@dataclass(slots=True)
class CertificationData:
    """Content of a ``daticert.xml``; a text is empty if its element is missing.

    ``recipients`` are those of the message (``destinatari``), ``received`` those of a hand-over
    between providers (``ricezione``), ``delivery`` the one of a delivery (``consegna``).
    """

    kind: str = ""
    error: str = ""
    sender: str = ""
    recipients: list[str] = field(default_factory=list)
    subject: str = ""
    provider: str = ""
    identifier: str = ""
    message_id: str = ""
    receipt_kind: str = ""
    delivery: str = ""
    received: list[str] = field(default_factory=list)
    error_reason: str = ""
    zone: str = ""
    day: str = ""
    time: str = ""

    def timestamp(self) -> str | None:
        """Return the instant in ISO 8601, with a zone if the document has one."""
        day, time = _DAY.search(self.day), _TIME.search(self.time)
        if not day or not time:
            return None
        try:
            date = datetime(int(day[3]), int(day[2]), int(day[1]), tzinfo=_zone(self.zone))
            instant = date.replace(hour=int(time[1]), minute=int(time[2]), second=int(time[3] or 0))
        except ValueError:
            return None
        return instant.isoformat()


#: Elements with a text, and the attribute of ``CertificationData`` that has it.
_TEXTS = {
    "mittente": "sender",
    "oggetto": "subject",
    "gestore-emittente": "provider",
    "identificativo": "identifier",
    "msgid": "message_id",
    "consegna": "delivery",
    "errore-esteso": "error_reason",
    "giorno": "day",
    "ora": "time",
}
_LISTS = {"destinatari": "recipients", "ricezione": "received"}


def read_daticert(octets: bytes) -> CertificationData | None:
    """Return the data; None if this is no such document.

    Entity declarations are refused, so that no document grows when it is read. What stood in front
    of an error in the document is kept.
    """
    octets = octets[:MOST_BYTES].lstrip()
    reader = _Reader()
    if reader.read(octets, None) or reader.is_refused:
        return reader.result()
    # A wrong declaration of the charset: read it as text.
    text = _DECLARATION.sub("", decode(octets, None), count=1)
    again = _Reader()
    again.read(text.encode("utf-8", "replace"), "utf-8")
    return again.result() or reader.result()


class _Reader:
    """Takes the events of the XML parser, up to the bounds."""

    def __init__(self) -> None:
        self._data = CertificationData()
        self._path: list[str] = []
        self._text: list[str] = []
        self._elements = 0
        self._is_daticert = False
        self.is_refused = False

    def read(self, octets: bytes, encoding: str | None) -> bool:
        """Read a document; return whether it is well formed."""
        try:
            parser = expat.ParserCreate(encoding)
            parser.buffer_text = True
            parser.StartElementHandler = self._start
            parser.EndElementHandler = self._end
            parser.CharacterDataHandler = self._characters
            parser.EntityDeclHandler = self._refuse
            parser.ExternalEntityRefHandler = None
            parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
            parser.Parse(octets, True)
        except _Refused:
            self.is_refused = True
            return False
        except (expat.ExpatError, LookupError, ValueError):
            return False
        return True

    def result(self) -> CertificationData | None:
        return self._data if self._is_daticert and not self.is_refused else None

    def _refuse(self, *_: object) -> None:
        raise _Refused

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > _MOST_ELEMENTS or len(self._path) >= _MOST_DEPTH:
            raise _Refused
        self._path.append(name)
        self._text = []
        data = self._data
        if name == "postacert" and len(self._path) == 1:
            self._is_daticert = True
            data.kind = attributes.get("tipo", "").strip().lower()[:_MOST_TEXT]
            data.error = attributes.get("errore", "").strip().lower()[:_MOST_TEXT]
        elif name == "data":
            data.zone = attributes.get("zona", "")[:40]
        elif name == "ricevuta":
            data.receipt_kind = attributes.get("tipo", "").strip().lower()[:_MOST_TEXT]

    def _end(self, name: str) -> None:
        text = " ".join("".join(self._text).split())[:_MOST_TEXT]
        self._text = []
        if self._path:
            self._path.pop()
        if name in _TEXTS and text and not getattr(self._data, _TEXTS[name]):
            setattr(self._data, _TEXTS[name], text)
        elif name in _LISTS and text:
            found: list[str] = getattr(self._data, _LISTS[name])
            if len(found) < _MOST_RECIPIENTS:
                found.append(text)

    def _characters(self, text: str) -> None:
        if len(self._text) < _MOST_TEXT:
            self._text.append(text[:_MOST_TEXT])


def _zone(value: str) -> timezone | None:
    found = _ZONE.search(value)
    if not found:
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    if offset >= timedelta(hours=24):
        return None
    return timezone(offset if found[1] == "+" else -offset)
