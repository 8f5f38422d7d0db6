"""Text of HTML mails, in linear time and without a parser of the whole language."""

from __future__ import annotations

import html
import re

_BLOCKS = frozenset(
    [
        *("br", "p", "div", "tr", "li", "ul", "ol", "table", "hr", "pre", "blockquote"),
        *("h1", "h2", "h3", "h4", "h5", "h6", "dd", "dt", "dl", "title", "body"),
    ]
)
_CELLS = frozenset({"td", "th"})
_HIDDEN = frozenset({"style", "script", "head"})
_NAME = re.compile(r"/?([A-Za-z][A-Za-z0-9]{0,20})")
_ADDRESS = re.compile(r"[^\s<>@]{1,64}@[^\s<>@]{1,255}")
#: The target of a link that shows a name in place of the address, as Exchange writes.
_MAIL_LINK = re.compile(
    r"href\s{0,3}=\s{0,3}[\"']?mailto:([^\s<>@\"'?]{1,64}@[^\s<>@\"'?]{1,255})", re.I
)
_BLANKS = re.compile(r"[ \t\r\f\v\u00a0]+")
_MOST_TAG = 2_000


def html_to_text(source: str) -> str:
    """Return the visible text of HTML, with a line for each block."""
    hidden: str | None = None
    in_pre = False
    link: tuple[str, int] | None = None
    first, *chunks = source.split("<")
    pieces = [first.replace("\n", " ")]
    for chunk in chunks:
        tag, closed, text = chunk.partition(">")
        name = _tag_name(tag)
        if hidden is not None:
            if name == hidden and tag.startswith("/"):
                hidden = None
                pieces.append(text)
            continue
        if name in _HIDDEN and not tag.startswith("/"):
            hidden = name
            continue
        if name == "pre":
            in_pre = not tag.startswith("/")
        if name == "a":
            if link and not any("@" in piece for piece in pieces[link[1] :]):
                pieces.append(f" <{link[0]}>")
            target = _MAIL_LINK.search(tag[:_MOST_TAG])
            link = (target[1], len(pieces)) if target else None
        pieces.append(_instead_of(tag, name, closed))
        pieces.append(text if in_pre else text.replace("\n", " "))
    lines = html.unescape("".join(pieces)).split("\n")
    return "\n".join(_BLANKS.sub(" ", line).strip() for line in lines)


def _tag_name(tag: str) -> str | None:
    found = _NAME.match(tag)
    return found[1].lower() if found else None


def _instead_of(tag: str, name: str | None, closed: str) -> str:
    if name in _BLOCKS:
        return "\n"
    if name in _CELLS:
        return " "
    if _ADDRESS.fullmatch(tag):
        return f"<{tag}>"  # an address whose angle brackets were not escaped
    if name is None and not tag.startswith(("!", "/", "?")):
        return f"<{tag}{closed}"
    return ""
