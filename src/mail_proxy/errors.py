"""Every error that the proxy raises on purpose, as one tree.

MailProxyError                     internal         500  exit 1
+-- ConfigError                    config           500  exit 2
+-- EncryptionError                encryption       500  exit 1
|   +-- EncryptionKeyNotConfigured encryption_key   500  exit 1
|   +-- EncryptionKeyChanged       key_changed      503  exit 1
+-- RequestError                   bad_request      400  exit 1
|   +-- Unauthorized               unauthorized     401  exit 1
|   +-- Forbidden                  forbidden        403  exit 1
|   +-- NotFound                   not_found        404  exit 1
|   +-- Conflict                   conflict         409  exit 1
|   |   +-- ConstraintViolated     constraint       409  exit 1
|   +-- TooLarge                   too_large        413  exit 1
|   +-- Malformed                  malformed        422  exit 2
|   +-- TooManyRequests            too_many         429  exit 1
+-- DatabaseUnavailable            unavailable      503  exit 1
+-- SchemaTooNew                   schema_too_new   500  exit 1
+-- WorkerEnded                    worker_ended     500  exit 1
"""

from __future__ import annotations

from typing import Any, ClassVar


class MailProxyError(Exception):
    """Root of the tree.

    ``code`` is stable and meant for programs, ``http_status`` is what REST answers,
    ``exit_code`` what the command line returns. ``detail`` is JSON-ready and free of secrets.
    """

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, detail: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class ConfigError(MailProxyError):
    """A setting has a value that cannot be used; the text names it and what is allowed."""

    code = "config"
    exit_code = 2


class EncryptionError(MailProxyError):
    """A sealed value cannot be opened: wrong key, damaged, or moved from another row."""

    code = "encryption"


class EncryptionKeyNotConfigured(EncryptionError):
    """No key in the environment, in the secrets folder or in the instance folder."""

    code = "encryption_key"


class EncryptionKeyChanged(EncryptionError):
    """The secrets were encrypted anew while this process has the old key: it must be restarted
    with the new one, and writes nothing until then."""

    code = "key_changed"
    http_status = 503


class RequestError(MailProxyError):
    """The caller asked for something that cannot be done as asked."""

    code = "bad_request"
    http_status = 400


class Unauthorized(RequestError):
    """No token, or one that is unknown, expired or revoked."""

    code = "unauthorized"
    http_status = 401


class Forbidden(RequestError):
    """The token is good but does not reach this; nothing tells whether the target exists."""

    code = "forbidden"
    http_status = 403


class NotFound(RequestError):
    """No such record in the caller's scope."""

    code = "not_found"
    http_status = 404


class Conflict(RequestError):
    """The state of the record does not allow the change."""

    code = "conflict"
    http_status = 409


class ConstraintViolated(Conflict):
    """The database refused a row: another call was faster, or something it needs is gone."""

    code = "constraint"


class TooLarge(RequestError):
    """The body or the batch is over its limit; the text gives both numbers."""

    code = "too_large"
    http_status = 413


class Malformed(RequestError):
    """The request does not have the documented shape; ``detail`` lists field, message, value."""

    code = "malformed"
    http_status = 422
    exit_code = 2


class TooManyRequests(RequestError):
    """The caller is slowed down; ``retry_after_seconds`` says for how long."""

    code = "too_many"
    http_status = 429

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class DatabaseUnavailable(MailProxyError):
    """The database cannot be reached or cannot write just now; trying again later is right."""

    code = "unavailable"
    http_status = 503
    retry_after_seconds = 5


class SchemaTooNew(MailProxyError):
    """The database was written by a newer program; this one must not touch it."""

    code = "schema_too_new"


class WorkerEnded(MailProxyError):
    """A delivering process has ended by itself; a new one is started."""

    code = "worker_ended"
