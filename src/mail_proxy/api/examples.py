"""An example for each object of the OpenAPI document, with all its fields."""

from __future__ import annotations

from typing import Any

from mail_proxy.wire.account_auth import ACCOUNT_AUTH, GIVEN_ACCOUNT_AUTH
from mail_proxy.wire.large_files import LARGE_FILES
from mail_proxy.wire.pec import PEC_STATE

_NOW = 1_790_000_000
_ANSWER = {"ok": True}
_MASK = "********"
_MESSAGE_PK = "019a0000-0000-7000-8000-000000000001"
_ACCOUNT_PK = "019a0000-0000-7000-8000-000000000002"

_LIMITS: dict[str, Any] = {
    "limit_per_minute": 60,
    "limit_per_hour": 1000,
    "limit_per_day": 0,
    "limit_behavior": "defer",
}
_CONNECTION: dict[str, Any] = {
    "host": "smtp.example.com",
    "port": 587,
    "user": "mailer",
    "verify_cert": True,
    "allow_insecure_auth": False,
    "ttl": 300,
    "batch_size": 50,
    "max_connections": 5,
    "is_default": True,
    "helo_name": "mail.acme.example",
    "dkim": True,
    "is_pec_account": True,
    "imap_host": "imaps.pec.example",
    "imap_port": 993,
    "imap_user": "acme@pec.example",
    "imap_password": "the password of the mailbox",
    "imap_folder": "INBOX",
    "imap_tls": "ssl",
}
_ACCOUNT: dict[str, Any] = {
    "id": "smtp",
    "pk": _ACCOUNT_PK,
    "tenant_id": "acme",
    **_CONNECTION,
    **_LIMITS,
    "password": _MASK,
    "imap_password": _MASK,
    "imap_error": "login: Authentication failed.",
    "imap_checked_ts": _NOW,
    "auth": ACCOUNT_AUTH,
    "tls": "auto",
    "health": "ok",
    "last_error": None,
    "created_at": _NOW,
    "updated_at": _NOW,
}
_AUTH = {"method": "basic", "token": None, "user": "mail-proxy", "password": "correct horse"}
_MASKED_AUTH = {"method": "basic", "user": "mail-proxy", "password": _MASK}
_RATES = {"hourly": 1000, "daily": 10_000}
_TENANT_FIELDS: dict[str, Any] = {
    "name": "Acme",
    "client_base_url": "https://app.acme.example",
    "client_sync_path": "/mail-proxy/sync",
    "client_attachment_path": "/mail-proxy/attachments",
    "active": True,
    "rate_limits": _RATES,
    "retention_seconds": 604_800,
    "large_file_config": LARGE_FILES,
    "max_queued_messages": 100_000,
    "max_queued_mb": 2000.0,
    "max_accounts": None,
    "max_calls_per_second": 50.0,
}
_TENANT: dict[str, Any] = {
    "id": "acme",
    **_TENANT_FIELDS,
    "client_auth": _MASKED_AUTH,
    "suspended_batches": ["spring"],
    "signing_secret": _MASK,
    "has_api_key": True,
    "api_key_expires_at": None,
    "created_at": _NOW,
    "updated_at": _NOW,
}
_NEW_TENANT: dict[str, Any] = {
    **_TENANT_FIELDS,
    "client_auth": _AUTH,
    "signing_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}
_MAIL: dict[str, Any] = {
    "id": "order-1",
    "tenant_id": "acme",
    "account_id": "smtp",
    "from": "Acme <post@acme.example>",
    "to": ["Ann <ann@example.net>"],
    "cc": [],
    "bcc": [],
    "subject": "Your order",
    "message_id": "<order-1@acme.example>",
    "priority": 1,
    "batch_code": "spring",
}
_ATTACHMENT: dict[str, Any] = {
    "filename": "invoice.pdf",
    "storage_path": "https://files.acme.example/invoices/1.pdf",
    "fetch_mode": "http_url",
    "mime_type": "application/pdf",
    "content_md5": "5d41402abc4b2a76b9719d911017c592",
    "auth": {"method": "bearer", "token": "s3cret"},
    "content_id": "invoice@acme.example",
    "disposition": "attachment",
}
_NEW_MAIL: dict[str, Any] = {
    **_MAIL,
    "reply_to": ["help@acme.example"],
    "return_path": "bounces@acme.example",
    "body": "It is on its way.",
    "content_type": "plain",
    "body_html": "<p>It is on its way.</p>",
    "headers": {"X-Campaign": "spring"},
    "deferred_ts": _NOW,
    "expires_ts": _NOW + 86_400,
    "attachments": [_ATTACHMENT],
    "list_unsubscribe": {
        "url": "https://shop.example/unsubscribe/4f7a",
        "mailto": "unsubscribe@shop.example",
    },
}
_NEW_RAW: dict[str, Any] = {
    "id": "order-2",
    "tenant_id": "acme",
    "account_id": "smtp",
    "priority": 1,
    "deferred_ts": _NOW,
    "expires_ts": _NOW + 86_400,
    "batch_code": "spring",
    "raw": "RnJvbTogcG9zdEBhY21lLmV4YW1wbGUNClRvOiBhbm5AZXhhbXBsZS5uZXQNCg0KSGkNCg==",
    "from": "bounces@acme.example",
    "to": ["ann@example.net"],
    "cc": [],
    "bcc": ["archive@acme.example"],
    "return_path": "bounces@acme.example",
}
_NEW_RAW_PATH: dict[str, Any] = {
    **{name: value for name, value in _NEW_RAW.items() if name != "raw"},
    "raw_path": "archive:2026/order-2.eml",
}
_MESSAGE: dict[str, Any] = {
    **_MAIL,
    "bounce_ts": _NOW + 600,
    "bounce_type": "hard",
    "bounce_code": "5.1.1",
    "bounce_reason": "550 5.1.1 no such user",
    "bounce_recipient": "ann@example.net",
    "bounce_category": "unknown_user",
    "pec": PEC_STATE,
    "pk": _MESSAGE_PK,
    "status": "sent",
    "created_ts": _NOW,
    "deferred_ts": None,
    "expires_ts": _NOW + 86_400,
    "sent_ts": _NOW + 1,
    "error_ts": None,
    "error": None,
    "waiting": None,
    "retry_count": 0,
    "recipients": None,
}
_EVENT = {
    "event_type": "sent",
    "event_ts": _NOW + 0.125,
    "event_data": {},
    "reported_ts": _NOW + 1,
}
_COMMAND: dict[str, Any] = {
    "id": 17,
    "command_ts": _NOW,
    "operation": "accounts.save",
    "endpoint": "POST /account",
    "tenant_id": "acme",
    "actor": "tenant:acme",
    "address": "192.0.2.7",
    "request_id": "c0ffee",
    "status": 200,
    "error": None,
    "payload": {"id": "smtp", "host": "smtp.example.com", "password": _MASK},
}
_SETTINGS: dict[str, Any] = {
    "default_priority": 2,
    "max_enqueue_batch": 1000,
    "max_body_mb": 64.0,
    "report_retention_seconds": 604_800.0,
    "audit_retention_days": 90,
}
_INSTANCE: dict[str, Any] = {
    "name": "post",
    "version": "1.0.0",
    "settings": _SETTINGS,
    "changed_settings": ["default_priority"],
    "created_at": _NOW,
    "updated_at": _NOW,
}
_SYNC: dict[str, Any] = {
    "id": "acme",
    "name": "Acme",
    "active": True,
    "client_base_url": "https://app.acme.example",
    "last_sync_ts": _NOW,
    "next_sync_due": False,
    "in_dnd": True,
    "next_sync_after": _NOW + 3600,
    "last_sync_error": None,
}
_CALL: dict[str, Any] = {
    "called_ts": _NOW,
    "seconds": 0.042,
    "outcome": "status",
    "status": 500,
    "error": "HTTP 500",
    "reports": 2,
    "acknowledged": 0,
    "bytes_sent": 310,
    "bytes_received": 0,
}
_STEP = {
    "step": "login",
    "ok": False,
    "detail": "AUTH refused: 535 5.7.8 authentication failed",
    "hint": "User or password is wrong.",
    "ms": 12.5,
}
_REJECTED = {
    "id": "order-2",
    "reason": "to, cc, bcc: 0 recipients; allowed: 1-1000",
    "code": "malformed",
}
_DUPLICATE = {"id": "order-0", "status": "sent"}

_ATTENTION = {
    "code": "account_paused",
    "text": "Account smtp cannot be used: AUTH refused: 535 5.7.8 authentication failed",
    "since_ts": _NOW - 600,
    "tenant_id": "acme",
    "account_id": "smtp",
    "waiting": 3,
}
_LAST_DAY = {"sent": 2381, "error": 4, "bounced": 1}
_DISK = {"free_mb": 81_250.5, "min_free_mb": 100.0, "short": False}
_PROCESS = {"host": "mail1", "pid": 4711}

#: By the name of the object in the document.
EXAMPLES: dict[str, Any] = {
    "AccountCounts": {"total": 2, "paused": 1},
    "DiskState": _DISK,
    "LastDay": _LAST_DAY,
    "ProcessState": _PROCESS,
    "ReportState": {"failing": 0, "oldest_seconds": 0.4},
    "AccountAnswer": {**_ANSWER, "account": _ACCOUNT},
    "AccountIn": {
        "id": "smtp",
        "tenant_id": "acme",
        **_CONNECTION,
        **_LIMITS,
        "password": "correct horse",
        "auth": GIVEN_ACCOUNT_AUTH,
        "use_tls": True,
    },
    "AccountOut": _ACCOUNT,
    "AccountSaved": {**_ANSWER, "id": "smtp", "pk": _ACCOUNT_PK},
    "AccountTestOptions": {"tenant_id": "acme", "to": "ann@example.org"},
    "AccountTestOut": {**_ANSWER, "ok": False, "steps": [_STEP], "resumed": 0},
    "AccountTestStep": _STEP,
    "AccountsOut": {**_ANSWER, "accounts": [_ACCOUNT]},
    "AddMessages": {"messages": [_NEW_MAIL], "tenant_id": "acme", "default_priority": "low"},
    "AddMessagesOut": {
        **_ANSWER,
        "queued": 1,
        "replaced": 0,
        "duplicates": [_DUPLICATE],
        "rejected": [_REJECTED],
    },
    "ApiKeyIn": {"expires_at": _NOW},
    "ApiKeyOut": {**_ANSWER, "api_key": "w1Gb0e1C1cC9M3b0m7Zf7o9qT7r4Zk0s8y2n5x6u3aA"},
    "DuplicateOut": _DUPLICATE,
    "AttachmentIn": _ATTACHMENT,
    "Attention": _ATTENTION,
    "CleanedOut": {**_ANSWER, "removed": 120},
    "CleanupMessages": {"tenant_id": "acme", "older_than_seconds": 86_400},
    "ClientAuthIn": _AUTH,
    "CommandAnswer": {**_ANSWER, "command": _COMMAND},
    "CommandOut": _COMMAND,
    "CommandsOut": {**_ANSWER, "commands": [_COMMAND]},
    "DeletedOut": {
        **_ANSWER,
        "removed": 1,
        "not_found": ["order-3"],
        "unauthorized": [],
        "in_progress": ["order-4"],
    },
    "Done": _ANSWER,
    "EventOut": _EVENT,
    "EventsOut": {**_ANSWER, "events": [_EVENT]},
    "Ids": {"tenant_id": "acme", "ids": ["order-1", "order-3"]},
    "InstanceAnswer": {**_ANSWER, "instance": _INSTANCE},
    "InstanceIn": {"name": "post", "settings": {"default_priority": "high"}},
    "InstanceOut": _INSTANCE,
    "MessageAnswer": {**_ANSWER, "message": _MESSAGE},
    "MessageIn": _NEW_MAIL,
    "MessageOut": _MESSAGE,
    "MessagesOut": {**_ANSWER, "messages": [_MESSAGE], "next_cursor": _MESSAGE_PK},
    "PurgeLog": {"older_than_seconds": 7_776_000},
    "PurgedOut": {**_ANSWER, "removed": 900},
    "RateLimits": _RATES,
    "RawMessageIn": _NEW_RAW,
    "RawPathIn": _NEW_RAW_PATH,
    "RejectedOut": _REJECTED,
    "ReplayedOut": {**_ANSWER, "replayed": 12, "skipped": 340},
    "RetriedOut": {**_ANSWER, "requeued": 2, "not_found": [], "not_failed": []},
    "RetryMessages": {
        "tenant_id": "acme",
        "ids": None,
        "account_id": "provider",
        "batch_code": None,
        "from_ts": _NOW - 86_400,
        "to_ts": None,
        "error_like": "authentication",
        "now": True,
        "dry_run": True,
    },
    "RuntimeSettings": _SETTINGS,
    "UnsavedAccountTest": {
        **_CONNECTION,
        **_LIMITS,
        "id": None,
        "tenant_id": "acme",
        "password": "correct horse",
        "auth": GIVEN_ACCOUNT_AUTH,
        "use_tls": True,
        "to": "ann@example.org",
    },
    "WaitOut": {"reason": "retry", "until": _NOW + 60, "detail": "450 4.2.1 mailbox busy"},
    "Status": {
        **_ANSWER,
        "active": True,
        "scheduler_active": True,
        "pending_messages": 3,
        "uptime_seconds": 86_400.5,
        "version": "1.0.0",
        "database": "sqlite",
        "waiting": {"account_paused": 3},
        "oldest_due_seconds": None,
        "last_24h": _LAST_DAY,
        "accounts": {"total": 2, "paused": 1},
        "reports": {"failing": 0, "oldest_seconds": 0.4},
        "disk": _DISK,
        "processes": [_PROCESS],
        "last_backup_ts": 1_790_000_000,
        "attention": [_ATTENTION],
    },
    "SuspensionOut": {
        **_ANSWER,
        "tenant_id": "acme",
        "batch_code": "spring",
        "suspended_batches": ["spring"],
        "pending_messages": 120,
    },
    "SyncCallOut": _CALL,
    "SyncLogOut": {**_ANSWER, "calls": [_CALL]},
    "SyncState": _SYNC,
    "SyncStatusOut": {**_ANSWER, "sync_interval_seconds": 300.0, "tenants": [_SYNC]},
    "TenantAnswer": {**_ANSWER, "tenant": _TENANT},
    "TenantFields": _NEW_TENANT,
    "TenantIn": {"id": "acme", **_NEW_TENANT},
    "TenantOut": _TENANT,
    "TenantSaved": {
        **_ANSWER,
        "tenant": _TENANT,
        "api_key": "w1Gb0e1C1cC9M3b0m7Zf7o9qT7r4Zk0s8y2n5x6u3aA",
    },
    "TenantsOut": {**_ANSWER, "tenants": [_TENANT]},
}

#: Of query parameters.
PARAMETERS: dict[str, Any] = {
    "account_id": "smtp",
    "active_only": True,
    "batch_code": "spring",
    "bucket": "day",
    "by": "account",
    "code": 550,
    "cursor": _MESSAGE_PK,
    "endpoint": "POST /account",
    "from_ts": "2026-11-27T10:00:00Z",
    "full": True,
    "id": "order-1",
    "limit": 50,
    "offset": 0,
    "order": "oldest",
    "q": "ann@example.org",
    "recipient_status": "failed",
    "since_ts": _NOW,
    "status": ["error", "deferred"],
    "tenant_id": "acme",
    "to_ts": "2026-11-27T11:00:00Z",
    "until_ts": _NOW + 3600,
    "waiting": "account_paused",
}
#: Of the ``id`` in a path, by what the path begins with.
PATH_IDS: dict[str, Any] = {
    "account": "smtp",
    "command-log": 17,
    "messages": "order-1",
    "tenant": "acme",
}
