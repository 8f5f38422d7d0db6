"""Policy of repeated calls: which failures, how often, after which pauses."""

from __future__ import annotations

import random
from dataclasses import dataclass

import httpx

from mail_proxy.client.errors import NoAnswer, code_of, error_of, retry_after
from mail_proxy.errors import (
    MailProxyError,
    NotRunning,
    TooBusy,
    TooManyConnections,
    TooManyRequests,
)

#: The request has certainly not reached the service.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
#: The service has refused the call before it did anything.
_NOTHING_DONE = {e.code for e in (NotRunning, TooManyConnections, TooBusy, TooManyRequests)}


@dataclass(frozen=True)
class Retries:
    """Number of attempts of a call, and the pauses between them.

    Calls without a connection or an answer, and answers 503 and 429, are repeated. The pauses
    double and are random within a half; a longer ``Retry-After`` of the service is respected. If
    it is longer than ``longest_pause_seconds``, the call is not repeated.
    """

    attempts: int = 5
    first_pause_seconds: float = 0.2
    longest_pause_seconds: float = 10.0


@dataclass
class Attempts:
    """The attempts of one call.

    A call that is not ``repeatable`` has another effect or answer if the service has carried it
    out already. It is repeated only if the service has certainly done nothing.
    """

    policy: Retries
    repeatable: bool
    made: int = 0

    def pause_after_loss(self, error: httpx.TransportError, what: str) -> float:
        """Return the pause before the next attempt; raise NoAnswer if there is none."""
        not_sent = isinstance(error, _NOT_SENT)
        pause = self._next_pause()
        if pause is None or not (self.repeatable or not_sent):
            doubt = "" if not_sent else "; the service may have carried it out"
            reason = str(error) or type(error).__name__
            raise NoAnswer(f"no answer to {what}: {reason}{doubt}") from error
        return pause

    def pause_after_answer(self, response: httpx.Response) -> float | None:
        """Return the pause before the next attempt, or None after a success.

        Raises the error of the answer if the call is not repeated.
        """
        if response.is_success:
            return None
        error = error_of(response)
        if not self._may_repeat(response):
            raise error
        pause, wished = self._next_pause(), retry_after(response) or 0.0
        if pause is None or wished > self.policy.longest_pause_seconds:
            raise error
        return max(pause, wished)

    def _may_repeat(self, response: httpx.Response) -> bool:
        if response.status_code not in (429, 503):
            return False
        return self.repeatable or code_of(response) in _NOTHING_DONE

    def _next_pause(self) -> float | None:
        self.made += 1
        if self.made >= self.policy.attempts:
            return None
        longest = self.policy.longest_pause_seconds
        pause = min(longest, self.policy.first_pause_seconds * 2.0 ** min(self.made - 1, 30))
        return pause * random.uniform(0.5, 1.0)


def broken_answer(what: str, reason: Exception) -> MailProxyError:
    """Return the error for an answer that is not of the documented form."""
    return NoAnswer(f"the answer to {what} cannot be understood: {type(reason).__name__}")
