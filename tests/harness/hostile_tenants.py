"""Attacks by the holder of a tenant key: over HTTP, and by the servers that it names."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
from tests.harness.command_line import wait_for
from tests.harness.hostile import Attacker
from tests.harness.hostile_servers import CALLBACK_ACTS, SMTP_ACTS, Act, HostileServer

_MANY = 100_000
_PARALLEL = 12
_ADD = "/commands/add-messages"
_MAIL = b'{"id":"m","from":"a@example.org","to":["b@example.org"],"subject":"x"}'


@dataclass
class HostileTenant(Attacker):
    """A client with a tenant key, and the servers that its accounts and URL lead to."""

    tenant: str = ""
    key: str = ""
    admin: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._servers: list[HostileServer] = []

    def close(self) -> None:
        super().close()
        for server in self._servers:
            server.close()

    def call(
        self, method: str, path: str, body: bytes | dict[str, Any] = b"", token: str = ""
    ) -> int:
        """Return the status of the answer, 0 if the connection was closed without one."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = {"X-API-Token": token or self.key, "Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()
        return response.status

    def at_once(self, count: int, attack: Callable[[int], object]) -> None:
        """Run ``attack`` with 0, 1, 2, ... in threads."""
        threads = [threading.Thread(target=attack, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def mail(self, number: int = 0, **fields: Any) -> dict[str, Any]:
        """Return a message, with ``fields`` in place of ordinary ones."""
        ordinary = {"id": f"m{number}", "from": "a@example.org", "to": ["b@example.org"]}
        return {**ordinary, "subject": "x", "body": "x", **fields}

    def hand_in(self, *mails: dict[str, Any]) -> int:
        """Queue messages; the status of the answer."""
        return self.call("POST", _ADD, {"messages": mails})

    def make_account(self, port: int = 1, name: str = "a", **fields: Any) -> None:
        """Create an account, as the administrator: that one may name servers on loopback."""
        account = {"id": name, "tenant_id": self.tenant, "host": "127.0.0.1", "port": port}
        self.call("POST", "/account", {**account, "tls": "none", **fields}, self.admin)

    def serve(self, act: Act) -> HostileServer:
        """Start a server; it ends with the attack."""
        self._servers.append(HostileServer(act))
        return self._servers[-1]


def _mail_server(name: str) -> Callable[[HostileTenant], None]:
    def attack(tenant: HostileTenant) -> None:
        server = tenant.serve(SMTP_ACTS[name])
        tenant.make_account(server.port, tls="starttls" if name.startswith("STARTTLS") else "none")
        tenant.hand_in(*(tenant.mail(number) for number in range(50)))
        wait_for(lambda: server.calls or None)

    return attack


def _application(name: str) -> Callable[[HostileTenant], None]:
    def attack(tenant: HostileTenant) -> None:
        server = tenant.serve(CALLBACK_ACTS[name])
        url = {"client_base_url": f"http://127.0.0.1:{server.port}"}
        tenant.call("PUT", f"/tenant/{tenant.tenant}", url, tenant.admin)
        tenant.make_account()
        tenant.hand_in(*(tenant.mail(number) for number in range(50)))
        wait_for(lambda: server.calls or None)

    return attack


def _parallel_searches(tenant: HostileTenant) -> None:
    tenant.make_account()
    for start in range(0, 5000, 1000):
        tenant.hand_in(
            *(tenant.mail(n, deferred_ts=4_000_000_000) for n in range(start, start + 1000))
        )
    tenant.at_once(
        _PARALLEL, lambda n: [tenant.call("GET", f"/messages?q=zz{n}") for _ in range(3)]
    )


def _wrong_types(tenant: HostileTenant) -> None:
    wrong: list[Any] = [None, True, -1, 1e300, 2**63, "\x00", [], [[]], {}, {"a": {}}, "x" * 10_000]
    tenant.make_account()
    for value in wrong:
        tenant.hand_in(*(tenant.mail(**{field: value}) for field in _MESSAGE_FIELDS))
        for field in ("host", "port", "user", "password", "tls", "ttl", "batch_size", "dkim"):
            tenant.call("POST", "/account", {"id": "w", "host": "x", field: value})


_MESSAGE_FIELDS = (
    *("id", "from", "to", "cc", "bcc", "reply_to", "return_path", "message_id", "subject", "body"),
    *("content_type", "body_html", "headers", "priority", "deferred_ts", "expires_ts"),
    *("batch_code", "attachments", "account_id", "tenant_id"),
)


def _raw_mails(body: bytes) -> Callable[[HostileTenant], object]:
    return lambda tenant: [tenant.call("POST", path, body) for path in (_ADD, "/account")]


def _failing_accounts(tenant: HostileTenant) -> None:
    tenant.at_once(4, lambda n: [tenant.make_account(1, f"a{n}-{m}") for m in range(50)])
    mails = [tenant.mail(n * 50 + m, account_id=f"a{n}-{m}") for n in range(4) for m in range(50)]
    tenant.hand_in(*mails)


def _bad_tokens(tenant: HostileTenant) -> None:
    tenant.at_once(
        4, lambda n: [tenant.call("GET", "/messages", token=f"bad{m}") for m in range(50)]
    )


def _refused_calls(tenant: HostileTenant) -> None:
    """Each leaves a row in the audit log."""
    large = {"id": "a" * 300, "name": "x" * 10_000}
    tenant.at_once(4, lambda n: [tenant.call("POST", "/account", large) for _ in range(50)])


def _many_ids(tenant: HostileTenant) -> None:
    ids = {"ids": [f"none-{number}" for number in range(_MANY)]}
    tenant.call("POST", "/commands/delete-messages", ids)
    tenant.call("POST", "/commands/retry-messages", ids)


def _queries(tenant: HostileTenant) -> None:
    for query in (
        "limit=" + "9" * 5000,
        "cursor=x",
        "q=" + "%25" * 5000,
        "status=" + "x&status=" * 3000,
    ):
        tenant.call("GET", f"/messages?{query}")
        tenant.call("GET", f"/command-log?{query}")


def _account_tests(tenant: HostileTenant) -> None:
    server = tenant.serve(SMTP_ACTS["no greeting"])
    tenant.make_account(server.port)
    with suppress(OSError):
        for _ in range(30):
            connection = tenant.connect()
            head = "POST /account/a/test HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nX-API-Token: "
            connection.sendall(f"{head}{tenant.key}\r\n\r\n".encode())
    wait_for(lambda: server.calls or None)


def _one_mail(**fields: Any) -> Callable[[HostileTenant], object]:
    def attack(tenant: HostileTenant) -> None:
        tenant.make_account()
        tenant.hand_in(tenant.mail(**fields))

    return attack


def _floods(tenant: HostileTenant) -> None:
    tenant.make_account()
    mails = [tenant.mail(n, deferred_ts=4_000_000_000) for n in range(1000)]
    tenant.at_once(
        4,
        lambda n: [
            tenant.hand_in(*({**m, "id": f"{n}-{k}-{m['id']}"} for m in mails)) for k in range(5)
        ],
    )


def _bodies_at_once(size: int, count: int) -> Callable[[HostileTenant], object]:
    def attack(tenant: HostileTenant) -> None:
        tenant.make_account()
        text = "Lorem ipsum dolor sit amet \n" * (size // 28)
        mail = orjson.dumps({"messages": [tenant.mail(body=text, deferred_ts=4_000_000_000)]})
        tenant.at_once(
            count, lambda n: tenant.call("POST", _ADD, mail.replace(b'"m0"', b'"m%d"' % n))
        )

    return attack


def _halves(tenant: HostileTenant) -> None:
    """Send half of a body on each of 20 connections, as far as it is read."""
    head = f"POST {_ADD} HTTP/1.1\r\nHost: x\r\nX-API-Token: {tenant.key}\r\n"
    with suppress(OSError):
        for _ in range(20):
            connection = tenant.connect()
            connection.sendall(f"{head}Content-Length: 60000000\r\n\r\n".encode())
            tenant.push(connection, b" " * 1_000_000, 30)


HTTP_ATTACKS: dict[str, Callable[[HostileTenant], object]] = {
    "batch of 100 000 messages": _raw_mails(b'{"messages":[' + b",".join([_MAIL] * _MANY) + b"]}"),
    "a subject of 20 MB": _one_mail(subject="x\u00e9" * 7_000_000),
    "100 000 recipients with IDN": _one_mail(to=["a@m\u00fcnchen.example"] * _MANY),
    "100 000 recipients in one text": _one_mail(to="a@m\u00fcnchen.example, " * _MANY),
    "100 000 addresses in reply_to": _one_mail(reply_to=["a@m\u00fcnchen.example"] * _MANY),
    "100 000 header fields": _one_mail(headers={f"X-{n}": "x" for n in range(_MANY)}),
    "a body of 5 MB": _one_mail(body="\u00e9" * 2_500_000),
    "20 bodies of 10 MB at once": _bodies_at_once(10_000_000, 20),
    "one text of 60 MB with escapes": _one_mail(body='",' * 20_000_000),
    "20 MB with a lone surrogate": _raw_mails(
        b'{"messages":[{"id":"\\ud800"},{"id":"%b"}]}' % (b"x" * 20_000_000)
    ),
    "bodies of 60 MB that stop halfway": _halves,
    "200 000 unknown fields": _raw_mails(
        b"{" + b",".join(b'"f%d":1' % n for n in range(2 * _MANY)) + b"}"
    ),
    "20 000 messages in calls at once": _floods,
    "12 parallel searches in 5000 messages": _parallel_searches,
    "wrong types in every field": _wrong_types,
    "deep JSON": _raw_mails(b'{"messages":' * 200_000),
    "deep lists": _raw_mails(b'{"messages":' + b"[" * 5_000_000),
    "a number of a million digits": _raw_mails(b'{"messages":[{"id":' + b"9" * 1_000_000 + b"}]}"),
    "1e999999": _raw_mails(b'{"messages":[{"id":"a","expires_ts":1e999999}]}'),
    "invalid UTF-8": _raw_mails(b'{"messages":[{"id":"' + b"\xff" * 1_000_000 + b'"}]}'),
    "lone surrogates": _raw_mails(b'{"messages":[{"id":"' + b"\\ud800" * 200_000 + b'"}]}'),
    "200 accounts that fail": _failing_accounts,
    "200 bad tokens": _bad_tokens,
    "200 refused calls": _refused_calls,
    "100 000 ids to delete and retry": _many_ids,
    "queries out of range": _queries,
    "30 account tests against a silent server": _account_tests,
}
SMTP_ATTACKS = {f"SMTP: {name}": _mail_server(name) for name in SMTP_ACTS}
CALLBACK_ATTACKS = {f"callback: {name}": _application(name) for name in CALLBACK_ACTS}
