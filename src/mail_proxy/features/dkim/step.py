"""The delivery step that signs a mail with the DKIM keys of its From domain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import replace

from mail_proxy.delivery.pipeline import Outgoing, Step
from mail_proxy.domain.outcome import Deferred, Outcome
from mail_proxy.features.dkim.canonical import hash_body
from mail_proxy.features.dkim.signature import SigningKey, signature_fields
from mail_proxy.features.dkim.table import AllKeys, DomainKeys
from mail_proxy.features.feature import StepParts
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.streamed import UnreadableError

NAME = "dkim"
_CHUNK_BYTES = 65_536
#: Signing a mail of this size, or with this many keys, takes no more than about 3 ms.
_MOST_BYTES_ON_LOOP = 262_144
_MOST_KEYS_ON_LOOP = 2


def signing_step(parts: StepParts) -> Step:
    """Return the delivery step that adds DKIM signatures.

    A mail whose domain has no keys costs two look-ups in dictionaries.
    """

    directory, clock = parts.directory, parts.clock

    def sign(outgoing: Outgoing) -> Outcome | Awaitable[Outcome | None] | None:
        all_keys: AllKeys = directory.snapshot.features.get(NAME, {})
        if not all_keys:
            return None
        mail, account = outgoing.mail, outgoing.account
        domain = mail.sender.email.rpartition("@")[2]
        of_domain = all_keys.get((account.tenant_id, domain))
        if of_domain is None or account.options.get(NAME) is False:
            return None
        return _sign(outgoing, of_domain, int(clock.now()))

    return sign


def _sign(
    outgoing: Outgoing, of_domain: DomainKeys, at: int
) -> Outcome | Awaitable[Outcome | None] | None:
    keys = [key for key in of_domain.values() if isinstance(key, SigningKey)]
    if len(keys) < len(of_domain):
        # Without the signature, receivers may refuse the mail for good.
        return Deferred("a DKIM key of the From domain cannot be decrypted")
    composed = outgoing.composed
    assert composed is not None, "the step `compose` comes first"
    is_large = composed.rest is not None or len(composed.data) > _MOST_BYTES_ON_LOOP
    if is_large or len(keys) > _MOST_KEYS_ON_LOOP:
        return _sign_in_thread(outgoing, composed, keys, at)
    outgoing.composed = signed(composed, keys, at)
    return None


async def _sign_in_thread(
    outgoing: Outgoing, composed: ComposedMail, keys: Sequence[SigningKey], at: int
) -> Outcome | None:
    try:
        outgoing.composed = await asyncio.to_thread(signed, composed, keys, at)
    except UnreadableError as error:
        return Deferred(str(error))
    return None


def signed(composed: ComposedMail, keys: Sequence[SigningKey], at: int) -> ComposedMail:
    """Return a mail with a signature of each key in front of it.

    The body is read piece by piece: files while the caller waits. Raises UnreadableError.
    """
    data = composed.data
    end_of_head = data.index(b"\r\n\r\n") + 2
    hashed = hash_body(_body(composed, end_of_head + 2))
    fields = signature_fields(bytes(data[:end_of_head]), hashed, keys, at)
    if isinstance(data, bytearray):  # of a long mail, which nothing else holds
        data[:0] = fields
        return composed
    return replace(composed, data=fields + data)


def _body(composed: ComposedMail, begin: int) -> Iterator[bytes]:
    data = composed.data
    for start in range(begin, len(data), _CHUNK_BYTES):
        yield bytes(data[start : start + _CHUNK_BYTES])
    if composed.rest is not None:
        yield from composed.rest.pieces()
