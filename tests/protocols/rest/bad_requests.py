"""Requests that are wrong in every way that a library has a sentence of its own for."""

from __future__ import annotations

from typing import Any

ADD = "/commands/add-messages"
MAIL: dict[str, Any] = {
    "id": "m",
    "from": "a@example.org",
    "to": ["b@example.net"],
    "subject": "s",
    "body": "b",
}
#: Values of every kind; none of them is right for all fields.
VALUES: tuple[Any, ...] = (
    *(None, True, 5, -5, 1.5, 10**30, -(10**30), 1e300, "", " ", "x", "x" * 3000, "\n", "a\0b"),
    *([], [1], ["x"], [[]], [None], {}, {"x": 1}, {"x": {"y": []}}, "\ud83d", "2026-13-45"),
)
#: JSON texts and octets that are no request.
BODIES: tuple[bytes, ...] = (
    *(b"", b"{", b"[", b"}", b'{"a"', b'{"a":', b'{"a":1,', b"nul", b"tru", b'"x', b"{'a': 1}"),
    *(b"[]", b"1", b'"text"', b"null", b"\xff\xfe", b'{"x": "\xff"}', b'{"x": "\\ud83d"}'),
    *(b'{"x": "\\q"}', b'{"x": 1e}', b'{"x": 01}', b"[" * 2000, b'{"x":1}{', b'{"a": NaN}'),
)
MESSAGE_FIELDS = (
    *("id", "tenant_id", "account_id", "from", "to", "cc", "bcc", "reply_to", "return_path"),
    *("message_id", "subject", "body", "content_type", "body_html", "headers", "priority"),
    *("deferred_ts", "expires_ts", "batch_code", "attachments", "tracking"),
)
#: Fields of the other requests, by method and path.
REQUESTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("POST", "/account"): (
        *("id", "tenant_id", "host", "port", "user", "password", "tls", "use_tls", "use_ssl"),
        *("verify_cert", "allow_insecure_auth", "ttl", "batch_size", "max_connections"),
        *(
            "limit_per_minute",
            "limit_behavior",
            "is_default",
            "dkim",
            "helo_name",
            "is_pec_account",
        ),
    ),
    ("POST", "/tenant"): (
        *("id", "name", "client_base_url", "client_sync_path", "client_auth", "active"),
        *("rate_limits", "retention_seconds", "signing_secret", "large_file_config", "nmae"),
    ),
    ("PUT", "/tenant/default"): ("name", "client_auth", "rate_limits", "id"),
    ("PUT", "/instance"): ("name", "settings"),
    ("POST", "/tenant/default/api-key"): ("expires_at",),
    ("POST", "/commands/delete-messages"): ("ids", "tenant_id"),
    ("POST", "/commands/retry-messages"): ("ids", "batch_code", "tenant_id"),
    ("POST", "/commands/cleanup-messages"): ("older_than_seconds", "tenant_id"),
    ("POST", "/command-log/purge"): ("older_than_seconds",),
    ("POST", "/storage"): ("name", "protocol", "config", "tenant_id"),
    ("POST", "/dkim"): ("domain", "selector", "algorithm", "private_key", "tenant_id"),
    ("POST", ADD): ("messages", "default_priority", "tenant_id", "message"),
}
#: What a good body of these has besides the field in question.
REQUIRED: dict[str, dict[str, Any]] = {
    "/account": {"id": "a", "host": "127.0.0.1"},
    "/tenant": {"id": "t"},
    "/commands/delete-messages": {"ids": ["x"]},
    "/commands/retry-messages": {"ids": ["x"]},
    "/storage": {"name": "docs", "protocol": "memory", "config": {}},
    "/dkim": {"domain": "example.org", "algorithm": "ed25519-sha256"},
    ADD: {"messages": [MAIL]},
}
NESTED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "/tenant", {"id": "t", "client_auth": {"method": "digest", "tokn": "x"}}),
    ("POST", "/tenant", {"id": "t", "client_auth": {"method": "bearer"}}),
    ("POST", "/tenant", {"id": "t", "client_auth": {"method": "basic", "user": 5}}),
    ("POST", "/tenant", {"id": "t", "rate_limits": {"hourly": -1, "dayly": 5}}),
    ("PUT", "/instance", {"settings": {"max_body_mb": 0, "max_enqueue_batch": "many"}}),
    ("PUT", "/instance", {"settings": {"default_priority": 9, "audit_retention_days": 1.5}}),
    ("POST", "/storage", {"name": "d", "protocol": "local", "config": {"base_path": "x"}}),
    ("POST", "/storage", {"name": "d", "protocol": "s3", "config": {"bucket": 5, "buket": "x"}}),
    ("POST", "/account", {"id": "a", "host": "h", "tls": "ssl", "use_tls": True}),
    ("POST", "/account", {"host": "", "prot": 25, "pasword": "secret"}),
)
QUERIES: tuple[tuple[str, str], ...] = (
    *(("GET", f"/messages?{q}") for q in ("status=gone", "limit=0", "limit=x", "limit=1.5")),
    *(("GET", f"/messages?{q}") for q in ("cursor=x", "active_only=maybe", "stauts=sent")),
    *(("GET", f"/messages?{q}") for q in ("q=%0a", "tenant_id=", "id=" + "x" * 300, "limit=99999")),
    *(("GET", f"/command-log?{q}") for q in ("since_ts=x", "until_ts=-5", "offset=-1", "limit=")),
    *(("GET", f"/command-log?{q}") for q in ("since_ts=1790000000000", "since_ts=2026-01-01")),
    *(("GET", f"/{path}") for path in ("messages/%00", "messages/%ff", "command-log/x", "nothing")),
    *(("GET", f"/{path}") for path in ("tenant/default/sync-log?limit=0", "commands/run-now")),
    *(("PATCH", "/messages"), ("DELETE", "/account/none"), ("GET", "/account/none")),
    *(("POST", "/dkim/not%20a/s/check"), ("DELETE", "/tenant/default"), ("GET", "/messages/no")),
)
