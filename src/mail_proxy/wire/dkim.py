"""JSON shapes of DKIM keys. Private keys are accepted and never returned."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mail_proxy.domain.dkim import MAX_PEM_LENGTH, Algorithm, record_name
from mail_proxy.wire.addresses import parse_mailbox
from mail_proxy.wire.fields import Answer, Identifier, Matching, Redacted, Request

_NOT_IN_DOMAINS = re.compile(r"[\s@<>\[\]\"]")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_LONGEST_NAME = 253
_RECORD = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
#: The key of the example in RFC 8463.
_PEM = (
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
    "-----END PRIVATE KEY-----\n"
)
_DNS = {"name": "gmp1._domainkey.example.org", "type": "TXT", "value": _RECORD}
_REF = {"domain": "example.org", "selector": "gmp1"}
_KEY = {
    "tenant_id": "acme",
    **_REF,
    "algorithm": "ed25519-sha256",
    "dns": _DNS,
    "created_at": 1_790_000_000,
}


def _domain(value: str) -> str:
    try:
        if _NOT_IN_DOMAINS.search(value):
            raise ValueError
        return parse_mailbox(f"x@{value}").email.partition("@")[2]
    except ValueError:
        raise ValueError("is not a domain") from None


def _example(example: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


Domain = Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME), AfterValidator(_domain)]
Selector = Annotated[
    str,
    AfterValidator(str.lower),
    Field(max_length=100),
    Matching(
        rf"{_LABEL}(?:\.{_LABEL})*",
        "allowed: letters, digits and dashes, 1 to 63 between dots; no dash at either end",
    ),
]
PrivateKey = Annotated[str, Field(max_length=MAX_PEM_LENGTH), Redacted()]


class DkimKeyIn(Request):
    """A DKIM key to add to a domain."""

    model_config = _example(
        {"tenant_id": "acme", **_REF, "algorithm": "ed25519-sha256", "private_key": _PEM}
    )

    tenant_id: Identifier | None = Field(
        None, description="Optional with a tenant key, or if there is only one tenant."
    )
    domain: Domain = Field(description="Domain of the From addresses that are signed.")
    selector: Selector | None = Field(
        None, description="Name of the key in the DNS; default `gmp1`, then `gmp2`, ..."
    )
    algorithm: Algorithm = Field(
        "rsa-sha256", description="rsa-sha256 (2048 bits) or ed25519-sha256."
    )
    private_key: PrivateKey | None = Field(
        None, description="A key of your own as PKCS#8 PEM; without it, a new key is made."
    )

    @model_validator(mode="after")
    def _fits(self) -> DkimKeyIn:
        if len(record_name(self.domain, self.selector or "gmp1")) > _LONGEST_NAME:
            raise ValueError("selector and domain are too long for a name in the DNS")
        return self


class DkimKeyRef(Request):
    """A DKIM key of the tenant that the call is about."""

    domain: Domain = Field(description="Domain of the key.", examples=["example.org"])
    selector: Selector = Field(description="Selector of the key.", examples=["gmp1"])


class DnsRecord(BaseModel):
    """The DNS record that publishes a DKIM key."""

    model_config = _example(_DNS)

    name: str = Field(description="Name of the record.")
    type: str = Field("TXT", description="Always TXT.")
    value: str = Field(
        description="Text of the record. Zone files cut it into strings of at most 255 characters."
    )


class DkimKeySaved(Answer):
    """The new DKIM key, and the record to publish."""

    model_config = _example({"ok": True, **_REF, "dns": _DNS})

    domain: str = Field(description="Domain of the key.")
    selector: str = Field(description="Name of the key in the DNS.")
    dns: DnsRecord = Field(description="The record to publish in the DNS.")


class DkimKeyOut(BaseModel):
    """A DKIM key without its private half."""

    model_config = _example(_KEY)

    tenant_id: str = Field(description="Tenant of the key.")
    domain: str = Field(description="Domain of the From addresses that are signed.")
    selector: str = Field(description="Name of the key in the DNS.")
    algorithm: str = Field(description="rsa-sha256 or ed25519-sha256.")
    dns: DnsRecord = Field(description="The record that publishes the key.")
    created_at: int = Field(description="When the key was added, in Unix seconds.")


class DkimKeysOut(Answer):
    """The DKIM keys of a tenant; for the administrator who names none, of all."""

    model_config = _example({"ok": True, "keys": [_KEY]})

    keys: list[DkimKeyOut] = Field(description="In the order of tenants, domains, selectors.")


class DkimCheckOut(BaseModel):
    """Comparison of a DKIM key with the DNS."""

    model_config = _example(
        {
            "ok": False,
            "matches": False,
            "expected": _RECORD,
            "found": [],
            "error": "the DNS gave no answer: no answer within 5 seconds",
        }
    )

    ok: bool = Field(description="Whether the DNS gave an answer.")
    matches: bool = Field(description="Whether a record in the DNS publishes this key.")
    expected: str = Field(description="Text of the record to publish.")
    found: list[str] = Field(
        description="TXT records at the key's name; at most 10, of at most 2000 characters."
    )
    error: str | None = Field(description="Why the DNS gave no answer.")
