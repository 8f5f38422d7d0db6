"""Status codes of HTTP servers: which of them may be another one later."""

from __future__ import annotations

#: The server asks to try again later, though its status begins with 4 (RFC 9110, 8470, 6585).
_LATER = (408, 425, 429)
_SERVER_ERRORS = range(500, 600)


def is_temporary(status: int) -> bool:
    """Return whether the same request may succeed later."""
    return status in _SERVER_ERRORS or status in _LATER
