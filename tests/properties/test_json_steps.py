"""The parser in steps understands a text exactly as orjson does"""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_proxy.wire import json_steps
from mail_proxy.wire.json_steps import NotJson, load_in_steps

#: Characters of every width, and those that JSON escapes.
_TEXTS = st.text(st.sampled_from('aé€😀"\\/\n\t\x01{}[],: u0'), max_size=200)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | _TEXTS,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(_TEXTS, inner, max_size=8),
    max_leaves=40,
)


@pytest.fixture(autouse=True, scope="module")
def short_steps() -> Any:
    """Make almost everything longer than a step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_steps, "STEP_BYTES", 64)
        patch.setattr(json_steps, "PIECE_BYTES", 64)
        yield


@given(_VALUES, st.booleans(), st.booleans())
def test_a_text_has_the_value_that_orjson_reads(
    value: Any, is_ascii: bool, is_indented: bool
) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii, indent=2 if is_indented else None).encode()
    assert load_in_steps(text) == orjson.loads(text)
    assert load_in_steps(b"\xef\xbb\xbf" + bytearray(text)) == orjson.loads(text)


@given(_VALUES, st.integers(0, 200), st.sampled_from(b'"\\{}[],:u\x00\n9x'), st.booleans())
def test_a_broken_text_is_refused_where_orjson_refuses_it(
    value: Any, place: int, octet: int, is_cut: bool
) -> None:
    text = bytearray(orjson.dumps(value))
    place %= len(text)
    text[place:] = b"" if is_cut else bytes([octet]) + text[place + 1 :]
    try:
        expected = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if "surrogate" not in error.msg:
            with pytest.raises(NotJson, match=r"is not JSON: .* at character"):
                load_in_steps(text)
    else:
        assert load_in_steps(text) == expected


@pytest.mark.parametrize("around", [b'{"a":"%b","b":1}', b'[0,"%b"]', b'"%b"'])
@pytest.mark.parametrize("octets", [rb"\ud800", rb"\ude00", b"\xff", b"\xed\xa0\x80"])
def test_a_lone_surrogate_stays_in_its_string(around: bytes, octets: bytes) -> None:
    for before in range(80):
        found = load_in_steps(around % (b"x" * before + octets + b"y" * 80))
        values = found.values() if isinstance(found, dict) else found
        (text,) = [found] if isinstance(found, str) else [v for v in values if isinstance(v, str)]
        with pytest.raises(UnicodeEncodeError):
            text.encode()


def test_levels_are_bounded() -> None:
    for text in (b"[" * 5000, b'{"a":' * 5000, b"[" * 500 + b"]" * 500):
        with pytest.raises(NotJson, match="too many levels"):
            load_in_steps(text)


def test_a_string_that_no_field_may_have_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_steps, "LONGEST_STRING", 100)
    assert 100 < len(load_in_steps(b'"%b"' % (b"x" * 10_000))) < 200


@given(st.text(st.sampled_from('a"\\é😀\n'), min_size=101, max_size=600), st.booleans())
def test_a_long_string_is_returned_in_pieces(text: str, ascii_only: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_steps, "LONGEST_PLAIN_TEXT", 100)
        value = load_in_steps(json.dumps({"body": text}, ensure_ascii=ascii_only).encode())["body"]
    assert (value if isinstance(value, str) else "".join(value.pieces)) == text
