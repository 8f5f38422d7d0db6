"""The tree of all errors that the proxy raises: code, HTTP status, exit code.

MailProxyError                     internal         500  exit 1
+-- ConfigError                    config           500  exit 2
+-- EncryptionError                encryption       500  exit 1
|   +-- EncryptionKeyNotConfigured encryption_key   500  exit 1
|   +-- EncryptionKeyChanged       key_changed      503  exit 1
+-- RequestError                   bad_request      400  exit 1
|   +-- NotHttp                    not_http         400  exit 1
|   +-- NothingUsable              nothing_usable   400  exit 1
|   +-- Unauthorized               unauthorized     401  exit 1
|   +-- Forbidden                  forbidden        403  exit 1
|   |   +-- InactiveTenant         tenant_inactive  403  exit 1
|   +-- NotFound                   not_found        404  exit 1
|   |   +-- NoSuchRoute            no_such_route    404  exit 1
|   +-- WrongMethod                wrong_method     405  exit 1
|   +-- TooSlow                    too_slow         408  exit 1
|   +-- Conflict                   conflict         409  exit 1
|   |   +-- ConstraintViolated     constraint       409  exit 1
|   |   +-- SeveralTenants         several_tenants  409  exit 1
|   +-- TooLarge                   too_large        413  exit 1
|   +-- UnsupportedMedia           unsupported      415  exit 1
|   +-- Malformed                  malformed        422  exit 2
|   +-- TooManyRequests            too_many         429  exit 1
|   +-- HeadersTooLarge            headers_too_large 431 exit 1
+-- NotRunning                     not_running      503  exit 1
+-- TooManyConnections             too_many_connections 503 exit 1
+-- TooBusy                        too_busy         503  exit 1
+-- NotReady                       not_ready        503  exit 1
+-- DatabaseUnavailable            unavailable      503  exit 1
|   +-- DatabaseLocked             database_locked  503  exit 1
|   +-- DatabaseFull               database_full    503  exit 1
|   +-- DatabaseDamaged            database_damaged 503  exit 1
|   +-- DiskShort                  disk_short       503  exit 1
+-- SchemaTooNew                   schema_too_new   500  exit 1
+-- StorageError                   storage          502  exit 1
+-- WorkerEnded                    worker_ended     500  exit 1
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class MailProxyError(Exception):
    """Root of the error tree.

    ``code`` is stable and meant for programs, ``http_status`` is the status of the REST answer,
    ``exit_code`` that of the command line. ``detail`` is JSON-ready and free of secrets.
    """

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, detail: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class ConfigError(MailProxyError):
    """A setting has an invalid value. The text names it and the allowed values."""

    code = "config"
    exit_code = 2


class EncryptionError(MailProxyError):
    """A sealed value cannot be opened: wrong key, damaged, or moved from another row."""

    code = "encryption"


class EncryptionKeyNotConfigured(EncryptionError):
    """No key in the environment, in the secrets folder or in the instance folder."""

    code = "encryption_key"


class EncryptionKeyChanged(EncryptionError):
    """The encryption key was rotated while this process still has the old one.

    It writes nothing until it is restarted with the new key.
    """

    code = "key_changed"
    http_status = 503


class RequestError(MailProxyError):
    """The request cannot be carried out as it is; repeating it unchanged fails again."""

    code = "bad_request"
    http_status = 400


class NotHttp(RequestError):
    """The request is not valid HTTP."""

    code = "not_http"


class NothingUsable(RequestError):
    """Every message of the call was rejected; ``detail`` has the reasons."""

    code = "nothing_usable"


class Unauthorized(RequestError):
    """The token is missing, unknown, expired or revoked."""

    code = "unauthorized"
    http_status = 401


class Forbidden(RequestError):
    """The token is valid but not for this resource, which may or may not exist."""

    code = "forbidden"
    http_status = 403


class InactiveTenant(Forbidden):
    """The key is valid, but its tenant is inactive."""

    code = "tenant_inactive"

    def __init__(self, tenant_id: str) -> None:
        super().__init__("the tenant is inactive")
        self.tenant_id = tenant_id


class NotFound(RequestError):
    """The resource does not exist in the caller's scope."""

    code = "not_found"
    http_status = 404


class NoSuchRoute(NotFound):
    """The path of the request is none of this interface."""

    code = "no_such_route"


class WrongMethod(RequestError):
    """The path does not take this method; the header ``Allow`` lists its methods."""

    code = "wrong_method"
    http_status = 405


class TooSlow(RequestError):
    """The request did not arrive within ``request_timeout``."""

    code = "too_slow"
    http_status = 408


class Conflict(RequestError):
    """The resource's current state does not allow the change."""

    code = "conflict"
    http_status = 409


class ConstraintViolated(Conflict):
    """A database constraint refused a row.

    A parallel call was faster, or a row that it refers to is gone.
    """

    code = "constraint"


class SeveralTenants(Conflict):
    """Several tenants have something with this id; ``detail.tenants`` names them."""

    code = "several_tenants"

    def __init__(self, thing: str, tenants: Sequence[str]) -> None:
        named = ", ".join(tenants)
        message = f"several tenants have this {thing}: {named}; name one with tenant_id"
        super().__init__(message, {"tenants": list(tenants)})


class TooLarge(RequestError):
    """The body or the batch exceeds its limit; the text has both numbers."""

    code = "too_large"
    http_status = 413


class HeadersTooLarge(RequestError):
    """The headers of the request are larger than 64 kB or more than 100."""

    code = "headers_too_large"
    http_status = 431


class Malformed(RequestError):
    """The request is malformed; ``detail`` lists field, message and value."""

    code = "malformed"
    http_status = 422
    exit_code = 2


class UnsupportedMedia(RequestError):
    """The Content-Encoding or Content-Type of the request is not understood."""

    code = "unsupported"
    http_status = 415


class TooManyRequests(RequestError):
    """The caller has made too many requests and must wait ``retry_after_seconds``."""

    code = "too_many"
    http_status = 429

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotRunning(MailProxyError):
    """The service is starting or stopping."""

    code = "not_running"
    http_status = 503


class TooManyConnections(MailProxyError):
    """All connections that ``max_connections`` allows are busy."""

    code = "too_many_connections"
    http_status = 503


class TooBusy(MailProxyError):
    """Too many large bodies arrive at once: no room within ``request_timeout``."""

    code = "too_busy"
    http_status = 503


class NotReady(MailProxyError):
    """The answer of ``/ready`` while the database or the dispatcher does not work."""

    code = "not_ready"
    http_status = 503


class DatabaseUnavailable(MailProxyError):
    """The database cannot be reached or cannot write now; retry later.

    ``summary`` is for callers without a token: it has neither addresses nor paths.
    """

    code = "unavailable"
    http_status = 503
    retry_after_seconds = 5
    summary: ClassVar[str] = "the database does not answer"


class DatabaseLocked(DatabaseUnavailable):
    """Another process or session has held a lock in the database for too long."""

    code = "database_locked"
    summary = "another process holds a lock in the database"


class DatabaseFull(DatabaseUnavailable):
    """The disk of the database is full."""

    code = "database_full"
    summary = "the disk of the database is full"


class DatabaseDamaged(DatabaseUnavailable):
    """The file of the database is damaged; the text names it and the way to repair it."""

    code = "database_damaged"
    summary = "the database is damaged"


class DiskShort(DatabaseUnavailable):
    """The disk of the database has less free space than ``min_free_disk_mb``."""

    code = "disk_short"
    summary = "no new messages: the disk of the database has less than min_free_disk_mb free"


class SchemaTooNew(MailProxyError):
    """The database has the schema of a newer version; this version refuses to use it."""

    code = "schema_too_new"


class WorkerEnded(MailProxyError):
    """A delivery process has ended unexpectedly; a new one is started."""

    code = "worker_ended"


class StorageError(MailProxyError):
    """A storage refuses access, has no such file, or cannot be reached.

    ``is_temporary``: the same call may succeed later.
    """

    code = "storage"
    http_status = 502

    def __init__(self, message: str, *, is_temporary: bool = False) -> None:
        super().__init__(message)
        self.is_temporary = is_temporary
