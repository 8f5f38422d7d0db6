"""Mistakes of a request, in the proxy's own words: field, message and value.

The sentences of libraries say how they work and not what is allowed, and they change with their
versions. None of them reaches a client.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from mail_proxy.errors import Malformed
from mail_proxy.wire.spelling import field_names, suggestion

Item = TypeVar("Item")
Mistake = dict[str, Any]
#: Entries of an error's ``detail``: more of them do not help a client, and millions cost seconds.
MOST_MISTAKES = 20
NO_OBJECT = "must be a JSON object"
NO_TEXT = "has a lone surrogate, or octets that are not UTF-8"
#: For kinds of mistakes that no request can make today.
NOT_VALID = "is not valid"
_BRANCH = re.compile(r"(?:list|function-after)\[|constrained-str$|tag:")
_LONGEST_NAME = 100
#: Unknown fields of one request for which a similar name is looked up: each takes 0.1 ms.
_MOST_SUGGESTIONS = 5

#: Documented fields of accounts and tenants that do nothing in this version.
_NOT_AVAILABLE = frozenset({"from_address"})


class WrongField(ValueError):
    """A mistake that the check of several fields found; ``field`` is the wrong one."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def _too_short(given: Mapping[str, Any]) -> str:
    least = given["min_length"]
    return "must not be empty" if least == 1 else f"too short; at least {least} characters"


def _choice(given: Mapping[str, Any]) -> str:
    return f"allowed: {given['expected'].replace(' or ', ', ').replace(chr(39), '')}"


#: By the validation library's name of the mistake; filled in with its context.
_MESSAGES: dict[str, str | Callable[[Mapping[str, Any]], str]] = {
    "missing": "required",
    "extra_forbidden": "unknown field",
    "string_type": "must be a text",
    "string_unicode": NO_TEXT,
    "string_too_short": _too_short,
    "string_too_long": lambda given: f"too long; allowed: {given['max_length']} characters",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of at most 4000 digits",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than_equal": lambda given: f"too small; at least {given['ge']:g}",
    "less_than_equal": lambda given: f"too large; at most {given['le']:.15g}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "too_long": lambda given: f"too many entries; allowed: {given['max_length']}",
    "dict_type": NO_OBJECT,
    "model_type": NO_OBJECT,
    "model_attributes_type": NO_OBJECT,
    "invalid_key": "names of fields must be texts",
    "literal_error": _choice,
    "enum": _choice,
    "value_error": lambda given: str(given["error"]),
}


_WRONG_TYPE = frozenset({"must be a text", "must be a list"})


def mistakes_of(
    errors: Sequence[Any], model: Any = None, shown: Callable[[Any], Any] = lambda error: None
) -> list[Mistake]:
    """Return the mistakes that a validation found, one for each field.

    ``model`` is the type of the request: its fields are suggested for mistyped ones. ``shown``
    returns what the answer shows of the value of an error.
    """
    messages: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    left = _MOST_SUGGESTIONS
    for error in errors:
        kind, given = error["type"], error.get("ctx") or {}
        inside = getattr(given.get("error"), "field", None)
        field = field_name((*error["loc"], inside) if inside else error["loc"])
        if kind == "extra_forbidden":
            left -= 1
            names = field_names(model, error["loc"][:-1]) if left >= 0 else ()
            message = unknown_field(str(error["loc"][-1]), names)
        else:
            message = _message(kind, given)
        if field not in values:
            values[field] = None if kind == "extra_forbidden" else shown(error)
        said = messages.setdefault(field, [])
        if message not in said:
            said.append(message)
    inner = {name.rpartition(".")[0] for name in messages}
    return [
        mistake(field, _of_union(said), values[field])
        for field, said in messages.items()
        if not (field in inner and _WRONG_TYPE.issuperset(said))
    ]


def _of_union(said: Sequence[str]) -> str:
    """Return one message for a value that is wrong both as a text and as a list."""
    other = [message for message in said if message not in _WRONG_TYPE]
    first, *more = other if other and len(said) > 1 else said
    return " or ".join([first, *(message.removeprefix("must be ") for message in more)])


def _message(kind: str, given: Mapping[str, Any]) -> str:
    found = _MESSAGES.get(kind, NOT_VALID)
    return found if isinstance(found, str) else found(given)


def of_validation(error: ValidationError, model: Any = None) -> list[Mistake]:
    """Return the mistakes in an error of the validation library."""
    # Not the input and the context as JSON: they may be large.
    return mistakes_of(error.errors(include_url=False, include_input=False), model)


def malformed(*wrong: Mistake) -> Malformed:
    """Return the error of a request with these mistakes."""
    return Malformed(sentence(wrong), detail_of(wrong, lambda item: item))


def sentence(wrong: Sequence[Mistake]) -> str:
    """Return all mistakes as one line: ``host: required; port: must be ...``."""
    listed = detail_of(wrong, lambda item: item)
    return "; ".join(": ".join(filter(None, (m["field"], m["message"]))) for m in listed)


def not_json(position: int) -> str:
    """Return the error text of a body that is no JSON from a character on."""
    return f"is not JSON: a mistake at character {position}"


def unknown_field(name: str, names: Sequence[str] = ()) -> str:
    """Return the error text of a field that a request does not have; ``names`` it has."""
    if name in _NOT_AVAILABLE:
        return "not available in this version"
    similar = suggestion(name, names)
    return f"unknown field; did you mean {similar}?" if similar else "unknown field"


def field_name(location: Sequence[str | int]) -> str:
    """Return the dotted name of a field, without pydantic's names for union branches."""
    parts = (str(part) for part in location)
    return shortened(".".join(part for part in parts if not _BRANCH.match(part)))


def without_surrogates(text: str) -> str:
    """Replace lone surrogates: JSON input can contain them, and an answer cannot."""
    return text.encode(errors="replace").decode()


def mistake(field: str, message: str, value: Any = None) -> Mistake:
    """Return one entry of an error's ``detail``; ``value`` is short and no secret."""
    return {"field": shortened(field), "message": message, "value": value}


def detail_of(wrong: Sequence[Item], describe: Callable[[Item], Mistake]) -> list[Mistake]:
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
