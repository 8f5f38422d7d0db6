"""Values that are planted where they belong, and looked for where they do not"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from mail_proxy.encryption import generate_key

USER = "the-user"


@dataclass(frozen=True)
class Secret:
    """``value`` is how its owner writes it; it holds what URLs and base64 spell differently."""

    name: str
    value: str

    @property
    def forms(self) -> dict[str, str]:
        octets = self.value.encode()
        forms = {
            "raw": self.value,
            "as in JSON": json.dumps(self.value)[1:-1],
            "in a URL": quote(self.value, safe=""),
            "in a form": quote(self.value),
            "in hex": octets.hex(),
            "AUTH PLAIN": encoded(f"\0{USER}\0{self.value}".encode()),
            "basic": encoded(f"{USER}:{self.value}".encode()),
        }
        # Wherever it begins within a longer text, base64 spells it in one of three ways.
        for start in range(3):
            begin, end = -(-start * 4 // 3), (start + len(octets)) * 4 // 3
            forms[f"base64 {start}"] = encoded(b"\0" * start + octets)[
                begin + bool(start) : end - 1
            ]
        return forms


def encoded(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def planted(name: str, value: str | None = None) -> Secret:
    return Secret(name, value or f"planted/{name} +ü&{name[::-1]}=?")


class Secrets:
    """One of each kind."""

    def __init__(self) -> None:
        self.smtp_password = planted("smtp-password")
        self.bearer_token = planted("bearer-token")
        self.basic_password = planted("basic-password")
        self.attachment_token = planted("attachment-token")
        self.instance_token = planted("client-sync-token")
        self.signing_secret = planted("signing", "whsec_planted+signing/secret+of+the+tenant")
        self.next_signing_secret = planted("next", "whsec_planted+next/signing+secret/once")
        self.alert_secret = planted("alert", "whsec_planted+alert/secret+of+the+instance")
        self.admin_token = planted("admin-token", "planted-admin-token-of-the-instance")
        self.encryption_key = planted("key", generate_key())
        self.database_password = planted("database-password", "plantedDatabasePassword")
        self.tenant_key: Secret | None = None

    def __iter__(self) -> Iterator[Secret]:
        yield from (secret for secret in vars(self).values() if secret is not None)


class Content:
    """What a mail says. The database holds it, and answers may show the subject."""

    def __init__(self) -> None:
        self.subject = planted("subject")
        self.body = planted("body")
        self.attachment = planted("attachment")

    def __iter__(self) -> Iterator[Secret]:
        yield from vars(self).values()


def findings(secrets: Iterable[Secret], places: Mapping[str, str]) -> list[str]:
    """Every secret that is in one of these texts, in whichever spelling."""
    return [
        f"{secret.name}, {form}, in {place}: ...{text[max(0, at - 80) : at + 80]!r}..."
        for place, text in places.items()
        for secret in secrets
        for form, spelled in secret.forms.items()
        if (at := text.find(spelled)) >= 0
    ]
