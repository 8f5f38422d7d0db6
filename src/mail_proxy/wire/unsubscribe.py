"""Message field ``list_unsubscribe``: ways to unsubscribe (RFC 2369, RFC 8058)."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from mail_proxy.domain.web_url import check_web_url
from mail_proxy.wire.addresses import parse_mailbox
from mail_proxy.wire.fields import Request

HEADER, POST_HEADER = "List-Unsubscribe", "List-Unsubscribe-Post"
_ONE_CLICK = "List-Unsubscribe=One-Click"
_MAILTO = "mailto:"
#: A URI cannot be folded, and a line has at most 998 octets (RFC 5322 section 2.1.1).
_LONGEST_URI = 900
_EXAMPLE: dict[str, Any] = {
    "url": "https://shop.example/unsubscribe/4f7a",
    "mailto": "unsubscribe@shop.example",
}


def _https(url: str) -> str:
    check_web_url(url)
    if not url.startswith("https://"):
        raise ValueError("must start with https:// (RFC 8058)")
    if not url.isascii() or any(c in url for c in "<>,"):
        raise ValueError("must be ASCII without <, > and commas: percent-encode them")
    return url


def _mailto(text: str) -> str:
    """Return the mailto: URI of an address or of a URI (RFC 6068)."""
    if not text.lower().startswith(_MAILTO):
        return _MAILTO + quote(parse_mailbox(text).email, safe="@!$&'*+-/=?^_`{|}~.%")
    uri = _MAILTO + text[len(_MAILTO) :]
    is_clean = uri.isascii() and uri.isprintable() and not any(c in uri for c in ' <>,"')
    if "@" not in uri.partition("?")[0] or not is_clean:
        raise ValueError("must be an address, or a mailto: URI in ASCII with one address")
    return uri


Url = Annotated[str, Field(max_length=_LONGEST_URI), AfterValidator(_https)]
Mailto = Annotated[str, Field(max_length=_LONGEST_URI), AfterValidator(_mailto)]


class ListUnsubscribeIn(Request):
    """Ways to unsubscribe that the application offers itself; one or both."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    url: Url | None = Field(
        None, description="https URL that takes a POST without log-in (one click)."
    )
    mailto: Mailto | None = Field(None, description="Address, or mailto: URI with a subject.")

    @model_validator(mode="after")
    def _some(self) -> ListUnsubscribeIn:
        if self.url is None and self.mailto is None:
            raise ValueError("needs url or mailto")
        return self


#: true stands for the page of this service.
ListUnsubscribe = Annotated[
    Annotated[bool, Tag("tag:hosted")] | Annotated[ListUnsubscribeIn, Tag("tag:own")],
    Discriminator(lambda value: "tag:hosted" if isinstance(value, bool) else "tag:own"),
]


def unsubscribe_headers(url: str | None, mailto: str | None) -> tuple[tuple[str, str], ...]:
    """Return the header fields; a URL comes first and is one click."""
    uris = ", ".join(f"<{uri}>" for uri in (url, mailto) if uri is not None)
    one_click = () if url is None else ((POST_HEADER, _ONE_CLICK),)
    return ((HEADER, uris), *one_click)
