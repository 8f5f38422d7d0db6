"""Hand messages to the proxy in calls of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from mail_proxy.client import MailProxyClient
from mail_proxy.errors import NothingUsable

#: The service takes 1000 messages and 64 MB in a call, unless it is set to less.
_MOST_MESSAGES = 500
_MOST_BYTES = 30_000_000


@dataclass(frozen=True)
class Refusal:
    """A message that the proxy refused as wrong. It would be refused again."""

    id: str
    reason: str
    code: str


def queue_messages(client: MailProxyClient, messages: Sequence[dict[str, Any]]) -> list[Refusal]:
    """Queue messages; return those that are refused.

    Messages that the proxy has already are not refused. Raises MailProxyError if the service
    cannot be reached or the token is wrong; messages of earlier calls are queued then. Calling it
    again with the same messages sends nothing twice.
    """
    refusals: list[Refusal] = []
    for group in _groups(messages):
        try:
            rejected = [each.model_dump() for each in client.messages.add(group).rejected]
        except NothingUsable as error:
            rejected = error.detail["rejected"]
        refusals += [Refusal(str(r["id"]), str(r["reason"]), str(r["code"])) for r in rejected]
    return refusals


def _groups(messages: Sequence[dict[str, Any]]) -> Iterator[list[Any]]:
    group: list[Any] = []
    size = 0
    for message in messages:
        length = len(orjson.dumps(message))
        if group and (len(group) >= _MOST_MESSAGES or size + length > _MOST_BYTES):
            yield group
            group, size = [], 0
        group.append(message)
        size += length
    if group:
        yield group
