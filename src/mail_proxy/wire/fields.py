"""Field types that several requests and answers share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from mail_proxy.config import PRIORITY_NAMES

_BRANCH = re.compile(r"(?:list|function-after)\[|constrained-str$")
Item = TypeVar("Item")
#: Entries of an error's ``detail``: more of them do not help a client, and millions cost seconds.
MOST_MISTAKES = 20
_LONGEST_NAME = 100
_PIECE = 1_000_000
NO_OBJECT = "must be a JSON object"
#: CR, LF, NUL and every other control character of ASCII and Latin-1, except the tab.
_FORBIDDEN = re.compile(r"[\0-\x08\x0a-\x1f\x7f-\x9f]")


def _refuse_surrogates(value: str) -> None:
    if value.isascii():
        return
    try:
        # In pieces, so that a large text does not keep the interpreter lock.
        for start in range(0, len(value), _PIECE):
            value[start : start + _PIECE].encode()
    except UnicodeEncodeError:
        raise ValueError("has a lone surrogate, or octets that are not UTF-8") from None


def _one_line(value: str) -> str:
    _refuse_surrogates(value)
    found = _FORBIDDEN.search(value)
    if found:
        raise ValueError(f"must not contain control characters (U+{ord(found[0]):04X})")
    return value


def _no_nul(value: str) -> str:
    _refuse_surrogates(value)
    if "\0" in value:
        raise ValueError("must not contain NUL")
    return value


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _priority(value: Any) -> Any:
    number = PRIORITY_NAMES.get(value, value) if isinstance(value, str) else value
    if isinstance(number, bool) or number not in (0, 1, 2, 3):
        raise ValueError("allowed: 0-3, immediate, high, medium, low")
    return number


class Redacted:
    """Marks a field type whose values are neither logged nor shown."""


OneLine = Annotated[str, AfterValidator(_one_line)]
Name = Annotated[str, Field(max_length=1000), AfterValidator(_one_line)]
Text = Annotated[str, AfterValidator(_no_nul)]
#: A password, a token or a key.
Secret = Annotated[Name, Redacted()]
#: What a mail says.
Content = Annotated[Text, Redacted()]
Identifier = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_one_line)]
Priority = Annotated[
    int,
    BeforeValidator(_priority),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 3}, {"enum": list(PRIORITY_NAMES)}]}
    ),
]
#: pydantic takes true for 1.
NotBool = BeforeValidator(_no_truth_value)
Timestamp = Annotated[float, NotBool, Field(ge=0, le=253_402_300_799, allow_inf_nan=False)]
Count = Annotated[int, NotBool, Field(ge=0, le=2_147_483_647)]
Seconds = Annotated[float, NotBool, Field(ge=0, le=10_000_000_000, allow_inf_nan=False)]


#: Documented fields of accounts and tenants that do nothing in this version.
_NOT_AVAILABLE = frozenset(
    {
        "from_address",
        "is_pec_account",
        "imap_host",
        "imap_port",
        "imap_user",
        "imap_password",
        "imap_folder",
        "client_attachment_path",
        "large_file_config",
    }
)


def unknown_field(name: str) -> str:
    """Return the error text of a field that a request does not have."""
    is_for_later = name in _NOT_AVAILABLE
    return "not available in this version" if is_for_later else "unknown field"


def field_name(location: Sequence[str | int]) -> str:
    """Return the dotted name of a field, without pydantic's names for union branches."""
    parts = (str(part) for part in location)
    return shortened(".".join(part for part in parts if not _BRANCH.match(part)))


def without_surrogates(text: str) -> str:
    """Replace lone surrogates: JSON input can contain them, and an answer cannot."""
    return text.encode(errors="replace").decode()


def mistake(field: str, message: str, value: Any = None) -> dict[str, Any]:
    """Return one entry of an error's ``detail``; ``value`` is short and no secret."""
    return {"field": shortened(field), "message": message, "value": value}


def detail_of(
    wrong: Sequence[Item], describe: Callable[[Item], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the ``detail`` of an error: at most 20 mistakes.

    If there are more, the last entry says how many.
    """
    if len(wrong) <= MOST_MISTAKES:
        return [describe(item) for item in wrong]
    listed = [describe(item) for item in wrong[: MOST_MISTAKES - 1]]
    more = f"{len(wrong) - len(listed)} more of {len(wrong)} mistakes are not listed"
    return [*listed, mistake("", more)]


def shortened(text: str) -> str:
    """Return a name from a request shortened for an error, without lone surrogates."""
    cut = text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 3]}..."
    return without_surrogates(cut)


class Request(BaseModel):
    """A request. Unknown fields are refused, so that a mistyped name is noticed."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False)


class Answer(BaseModel):
    """An answer of success."""

    ok: bool = Field(True, description="Always true.")
