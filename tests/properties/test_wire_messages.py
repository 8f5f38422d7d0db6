"""add-messages: any body is understood or refused in the documented way"""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from mail_proxy.domain.mail import Mail
from mail_proxy.errors import Malformed, TooLarge
from mail_proxy.operations.composing import stored_form
from mail_proxy.smtp.compose import ComposedMail, compose, date_line
from mail_proxy.sql.messages.mail_codec import StoredMail, dump_mail, load_mail
from mail_proxy.wire.batches import Rejection, parse_batch
from mail_proxy.wire.new_messages import MessageIn
from mail_proxy.wire.usual_message import UsualMessage

TEXT = st.text(max_size=40)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
)
ADDRESS = st.sampled_from(["a@b.example", "Ünï <c@d.example>", '"x, y" <e@f.example>', "bad", ""])
RIGHT: dict[str, st.SearchStrategy[Any]] = {
    "id": TEXT,
    "from": ADDRESS,
    "to": ADDRESS | st.lists(ADDRESS, max_size=3),
    "cc": st.lists(ADDRESS, max_size=2),
    "bcc": ADDRESS,
    "reply_to": ADDRESS,
    "return_path": ADDRESS,
    "subject": TEXT,
    "body": TEXT,
    "body_html": TEXT,
    "content_type": st.sampled_from(["plain", "html"]),
    "message_id": TEXT | st.just("<x@y.example>"),
    "headers": st.dictionaries(TEXT | st.sampled_from(["X-A", "Reply-To", "Bcc"]), TEXT),
    "priority": st.sampled_from([0, 3, "low", "urgent"]),
    "deferred_ts": st.floats() | st.integers(),
    "batch_code": TEXT,
}
#: Messages in which every field is nearly right, absent, or anything at all.
RECORDS = st.tuples(
    st.fixed_dictionaries({"id": TEXT, "from": ADDRESS, "subject": TEXT, "to": ADDRESS}),
    st.fixed_dictionaries({}, optional=RIGHT),
    st.fixed_dictionaries({}, optional=dict.fromkeys(RIGHT, JSON)) | st.just({}),
).map(lambda parts: {**parts[0], **parts[1], **parts[2]})


@given(st.binary() | JSON.map(lambda value: repr(value).encode()))
@example(b'{"messages": [{}], "messages": []}')
@example(b'{"messages": ' + b"[" * 2000)
@example(b'{"messages": [' + b"1" * 5000 + b"]}")
@example(b'{"messages": ["\\ud800"]}')
def test_any_bytes_are_a_batch_or_malformed(body: bytes) -> None:
    try:
        parse_batch(body, 10)
    except (Malformed, TooLarge) as error:
        assert error.message


@given(JSON)
def test_any_json_is_a_batch_or_refused(value: Any) -> None:
    for body in ({"messages": value}, {"messages": [value]}, {"messages": [], "x": value}):
        try:
            batch = parse_batch(body, 10)
        except (Malformed, TooLarge):
            continue
        except ValueError as error:  # pydantic's own, which the edge turns into a 422
            assert "default_priority" in str(error)
            continue
        assert all(isinstance(m, MessageIn | Rejection) for m in batch.messages)


def assert_is_sent_as(composed: ComposedMail, stored: StoredMail, mail: Mail) -> None:
    """Assert that the stored form gives the same octets, envelope and head as the mail."""
    assert stored.recipients == mail.recipients
    assert stored.envelope_sender == mail.envelope_sender
    assert stored.not_before == mail.not_before
    if stored.composed is None:
        assert stored.mail() == mail
        return
    before, after = stored.composed
    assert before + date_line(0) + after == composed.data
    assert not composed.is_8bit
    assert not composed.needs_smtputf8
    assert stored.mail() == replace(mail, body="")


@given(RECORDS)
def test_what_is_accepted_can_be_stored_and_sent_and_smuggles_nothing(
    record: dict[str, Any],
) -> None:
    (parsed,) = parse_batch({"messages": [record]}, 10).messages
    if isinstance(parsed, Rejection):
        assert parsed.reason
        assert len(parsed.reason) < 20 * 300
        orjson.dumps({"id": parsed.id, "reason": parsed.reason})
        return
    if isinstance(parsed, UsualMessage):
        parsed = parsed.in_full()
    try:
        mail = parsed.mail("unique")
    except ValueError as error:
        assert str(error).partition(":")[0] in ("from", "to", "cc", "bcc", "to, cc, bcc",
                                                "reply_to", "return_path")  # fmt: skip
        return
    stored = load_mail(dump_mail(mail))
    assert stored == mail
    composed = compose(stored, tracking_id=parsed.id, date=0)
    assert_is_sent_as(composed, StoredMail(stored_form(mail, parsed.id)), mail)
    found = email.message_from_bytes(composed.data, policy=email.policy.compat32)
    own = {"From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID", "X-Genro-Mail-ID",
           "MIME-Version", "Content-Type", "Content-Transfer-Encoding"}  # fmt: skip
    assert set(found.keys()) <= own | set(parsed.headers)
    assert [name for name in found.keys() if name not in own] == list(parsed.headers)  # noqa: SIM118
    assert "Bcc" not in found
