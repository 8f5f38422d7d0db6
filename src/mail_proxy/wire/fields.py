"""Field types that several requests and answers share."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import core_schema

from mail_proxy.domain.long_text import LongText
from mail_proxy.domain.message import PRIORITIES
from mail_proxy.wire.mistakes import NO_TEXT

_PIECE = 1_000_000
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
        raise ValueError(NO_TEXT) from None


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


def _text_of_any_length(value: Any, plain: Callable[[Any], str]) -> str | LongText:
    if not isinstance(value, LongText):
        return _no_nul(plain(value))
    for piece in value.pieces:
        _no_nul(piece)
    return value


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _priority(value: Any) -> Any:
    number = PRIORITIES.get(value, value) if isinstance(value, str) else value
    if isinstance(number, bool) or number not in (0, 1, 2, 3):
        raise ValueError("allowed: 0-3, immediate, high, medium, low")
    return number


@dataclass(frozen=True)
class Matching:
    """Mark on the type of a text: a pattern to match, and words if it does not."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        pattern = re.compile(self.pattern)

        def matched(value: str) -> str:
            if not pattern.fullmatch(value):
                raise ValueError(self.words)
            return value

        return core_schema.no_info_after_validator_function(matched, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> Any:
        return {**handler(schema), "pattern": f"^{self.pattern}$"}


class _AnyLength:
    """Mark on the type of a text that may be a LongText."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return core_schema.no_info_wrap_validator_function(
            _text_of_any_length, core_schema.str_schema()
        )


class Redacted:
    """Marks a field type whose values are neither logged nor shown."""


OneLine = Annotated[str, AfterValidator(_one_line)]
Name = Annotated[str, Field(max_length=1000), AfterValidator(_one_line)]
#: A password, a token or a key.
Secret = Annotated[Name, Redacted()]
#: Tokens of large providers have about 2 kB.
LongSecret = Annotated[str, Field(max_length=16_384), AfterValidator(_one_line), Redacted()]
#: What a mail says.
Content = Annotated[str | LongText, _AnyLength(), Redacted()]
Identifier = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_one_line)]
Priority = Annotated[
    int,
    BeforeValidator(_priority),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 3}, {"enum": list(PRIORITIES)}]}
    ),
]
#: pydantic takes true for 1.
NotBool = BeforeValidator(_no_truth_value)
Count = Annotated[int, NotBool, Field(ge=0, le=2_147_483_647)]
Seconds = Annotated[float, NotBool, Field(ge=0, le=10_000_000_000, allow_inf_nan=False)]


class Request(BaseModel):
    """A request. Unknown fields are refused, so that a mistyped name is noticed."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False)


class OfTenant(Request):
    """A request that may name its tenant."""

    tenant_id: Identifier | None = Field(
        None, description="Optional with a tenant key, or if there is only one tenant."
    )


class Answer(BaseModel):
    """An answer of success."""

    ok: bool = Field(True, description="Always true.")
