"""The filter line, the chart and the words of the dashboard."""

from __future__ import annotations

import gettext

import pytest

from mail_proxy.dashboard.chart import HEIGHT, chart
from mail_proxy.dashboard.filters import read_line, word
from mail_proxy.dashboard.rendering import Pages
from mail_proxy.dashboard.wording import Wording
from mail_proxy.errors import Malformed


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("", {}),
        ("order 7", {"q": "order 7"}),
        ("http://x", {"q": "http://x"}),
        ('batch:"spring sale" account:main', {"batch_code": "spring sale", "account_id": "main"}),
        ("STATUS:sent,ERROR", {"status": ["sent", "error"]}),
        ("after:2026-11-27", {"from_ts": 1795737600.0}),
        ("before:2026-11-27T10:00:00+01:00", {"to_ts": 1795769999.0}),
        ("to:", {"q": "to:"}),
        ("id:a waiting:retry code:550", {"id": "a", "waiting": "retry", "code": "550"}),
    ],
)
def test_a_line_is_read_as_filters_of_the_api(line: str, fields: dict[str, object]) -> None:
    assert read_line(line).fields == fields


@pytest.mark.parametrize("line", ["status:lost", "waiting:bus", "before:tomorrow", "after:1"])
def test_a_word_that_cannot_be_is_named(line: str) -> None:
    with pytest.raises(Malformed) as refused:
        read_line(line)
    assert refused.value.detail[0]["field"] == line.partition(":")[0]


def test_a_word_with_blanks_is_read_back() -> None:
    for value in ("plain", "with blanks", 'with "quotes"'):
        assert read_line(word("account", value)).fields["account_id"] == value.replace('"', "")


def test_a_chart_stacks_within_its_height() -> None:
    made = chart(0, [(0, {"sent": 990, "error": 1}), (23 * 3600, {"bounced": 5}), (10**6, {})])
    assert made.highest == 1000
    first, last = made.bars[0], made.bars[-1]
    assert [part.kind for part in first.parts] == ["sent", "error"]
    # One failure among a thousand is still seen.
    assert first.parts[1].height >= 2
    assert all(0 <= part.y <= HEIGHT for bar in made.bars for part in bar.parts)
    assert [part.kind for part in last.parts] == ["bounced"]
    assert chart(0, []).is_empty


def test_numbers_durations_and_codes_have_words() -> None:
    words = Wording(gettext.NullTranslations())
    assert words.number(1234567) == "1\u202f234\u202f567"
    assert [words.duration(s) for s in (0, 90, 7200, 200_000)] == ["0 s", "90 s", "2 h", "2 d"]
    assert words.meaning("550 5.1.1 no such user") == "The mailbox does not exist."
    assert words.meaning("a text") == ""
    assert words.done("retried", "1000") == "Back in the queue: 1\u202f000"
    assert words.done("<script>", "<b>") == ""


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("", "en"), ("it", "it"), ("en;q=0.5, it", "it"), ("it;q=0", "en"), ("it;q=x,de", "en")],
)
def test_the_language_is_the_browsers(accepted: str, language: str) -> None:
    assert Pages().language(accepted) == language
