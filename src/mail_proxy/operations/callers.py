"""Authentication of callers, and the tenants that each caller reaches."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from dataclasses import dataclass, replace

from mail_proxy.domain.networks import find_address
from mail_proxy.domain.tenant import DEFAULT_TENANT, Tenant
from mail_proxy.encryption import hash_token, token_matches
from mail_proxy.errors import Forbidden, InactiveTenant, TooManyRequests, Unauthorized
from mail_proxy.kit.clock import Clock
from mail_proxy.sql.directory import Directory, Snapshot
from mail_proxy.wire.mistakes import malformed, mistake

_MOST_FAILURES = 20
_WINDOW_SECONDS = 60.0
_MOST_ADDRESSES = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller; ``tenant_id`` is None for the administrator.

    ``endpoint``, ``address`` and ``request_id`` say where the call came from, for the audit log.
    ``key_hash`` is that of a key which is known from memory only. Whoever commits the call has to
    see that the key is still ``holder_of``'s.
    """

    tenant_id: str | None
    endpoint: str = ""
    address: str | None = None
    request_id: str | None = None
    key_hash: str | None = None

    @property
    def is_admin(self) -> bool:
        """True if the caller reaches the whole instance."""
        return self.tenant_id is None

    @property
    def actor(self) -> str:
        """Name of the caller in the audit log."""
        return "admin" if self.tenant_id is None else f"tenant:{self.tenant_id}"

    def reach(self, requested: str | None, snapshot: Snapshot) -> str:
        """Return the tenant that a call is about.

        ``requested`` is optional with a tenant key, and if ``default`` is the only tenant. Raises
        Forbidden for another tenant's data, whether it exists or not, and Malformed if the
        administrator has to name a tenant.
        """
        if self.tenant_id is not None:
            if requested not in (None, self.tenant_id):
                raise Forbidden("this token does not reach that tenant")
            return self.tenant_id
        if requested is not None:
            return requested
        if len(snapshot.tenants) == 1 and DEFAULT_TENANT in snapshot.tenants:
            return DEFAULT_TENANT
        raise malformed(mistake("tenant_id", "required, because there are several tenants"))

    def at(self, endpoint: str, address: str | None, request_id: str | None) -> Caller:
        """Return the caller with the route, address and request id of one call."""
        return replace(self, endpoint=endpoint, address=address, request_id=request_id)


@dataclass(frozen=True, slots=True)
class Stranger(Caller):
    """A caller that failed to log in; it reaches nothing."""

    @property
    def is_admin(self) -> bool:
        return False

    @property
    def actor(self) -> str:
        return "nobody"

    def reach(self, requested: str | None, snapshot: Snapshot) -> str:
        raise Forbidden("log in first")


class Authenticator:
    """Authentication of callers by their token, with a limit on failures per address.

    A valid token is always accepted, even if other callers at its address have failed. After 20
    failures in a minute an address gets TooManyRequests in place of Unauthorized, until the first
    of them is a minute old. Tokens have 256 random bits, so they cannot be guessed. The limit
    saves work and log lines.
    """

    def __init__(self, admin_token: str | None, directory: Directory, clock: Clock) -> None:
        self._admin_hash = hash_token(admin_token) if admin_token else None
        self._directory = directory
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    @property
    def open(self) -> bool:
        """True if there is no admin token: then loopback callers are administrators."""
        return self._admin_hash is None

    async def authenticate(self, token: str | None, address: str, *, loopback: bool) -> Caller:
        """Return the caller; raises Unauthorized, InactiveTenant or TooManyRequests."""
        if token is None:
            if self.open and loopback:
                return Caller(None)
            raise self._failed(address, "no token: send X-API-Token or Authorization: Bearer")
        if self._is_admins(token):
            return Caller(None)
        # The lookup compares hashes, whose bytes a guesser cannot choose: its time says nothing.
        tenant = (await self._directory.current()).tenants_by_key.get(hash_token(token))
        if tenant is None:
            raise self._failed(address, "unknown token")
        if tenant.has_expired_key(self._clock.now()):
            raise self._failed(address, "this token has expired")
        if not tenant.active:
            raise InactiveTenant(tenant.id)
        return Caller(tenant.id)

    def recognize(self, token: str | None) -> Caller | None:
        """Return the caller of a token that this process knows as valid, else None.

        A tenant's caller has its ``key_hash``.
        """
        if token is None:
            return None
        if self._is_admins(token):
            return Caller(None)
        key_hash = hash_token(token)
        tenant = holder_of(key_hash, self._directory.snapshot, self._clock.now())
        return None if tenant is None else Caller(tenant.id, key_hash=key_hash)

    def _is_admins(self, token: str) -> bool:
        return self._admin_hash is not None and token_matches(token, self._admin_hash)

    def _failed(self, address: str, reason: str) -> Unauthorized | TooManyRequests:
        """Count a failure, and return the error for it."""
        now = self._clock.monotonic()
        network = _network(address)
        failures = self._failures.setdefault(network, deque())
        self._failures.move_to_end(network)
        if len(self._failures) > _MOST_ADDRESSES:
            self._failures.popitem(last=False)
        while failures and failures[0] <= now - _WINDOW_SECONDS:
            failures.popleft()
        if len(failures) >= _MOST_FAILURES:
            wait = int(failures[0] + _WINDOW_SECONDS - now) + 1
            return TooManyRequests("too many failed log-ins from this address", wait)
        failures.append(now)
        return Unauthorized(reason)


def holder_of(key_hash: str, snapshot: Snapshot, now: float) -> Tenant | None:
    """Return the active tenant that has a key which has not expired."""
    tenant = snapshot.tenants_by_key.get(key_hash)
    is_usable = tenant is not None and tenant.active and not tenant.has_expired_key(now)
    return tenant if is_usable else None


def _network(address: str) -> str:
    """Return the key of the failure count: an IPv4 address or an IPv6 /64 network."""
    found = find_address(address)
    if found is None:
        return address
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
