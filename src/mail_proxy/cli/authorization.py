"""Flows in which the owner of a mailbox allows its use (RFC 8628, RFC 8252)."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import orjson
from rich.markup import escape

from mail_proxy.errors import MailProxyError
from mail_proxy.features.oauth2.token_server import issued_token
from mail_proxy.network.access_tokens import TokenTrouble

Talk = Callable[[str], None]
_GOOGLE_PAGE = "https://accounts.google.com/o/oauth2/v2/auth"
_SCOPES = {
    "google": "https://mail.google.com/",
    "microsoft": "https://outlook.office.com/SMTP.Send "
    "https://outlook.office.com/IMAP.AccessAsUser.All offline_access",
}
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_CALL_SECONDS = 30.0
_MOST_BYTES = 100_000
_USUAL_INTERVAL, _LONGEST_INTERVAL = 5.0, 60.0
_DONE = b"<!doctype html><title>Done</title><p>You can close this page."
_FAILED = b"<!doctype html><title>Not allowed</title><p>The access was not granted."


@dataclass(frozen=True)
class Flow:
    """Settings of an authorization. ``seconds`` is the longest wait for the person."""

    provider: str
    client_id: str
    client_secret: str | None
    token_url: str
    scope: str | None
    login_hint: str | None
    device_url: str | None
    authorize_url: str | None
    opens_browser: bool
    seconds: float

    @property
    def wanted_scope(self) -> str | None:
        """The scope to ask for; None: the server's usual one."""
        return self.scope or _SCOPES.get(self.provider)

    @property
    def secret(self) -> dict[str, str]:
        """The field of a token request that has the application's secret."""
        return {"client_secret": self.client_secret} if self.client_secret else {}


def obtain(flow: Flow, talk: Talk) -> str:
    """Return a refresh token, once a person has allowed it. Raises MailProxyError."""
    try:
        device_url = flow.device_url
        if device_url is None and flow.provider == "microsoft" and not flow.authorize_url:
            device_url = flow.token_url.removesuffix("/token") + "/devicecode"
        if device_url is not None:
            return _by_device(flow, device_url, talk)
        page = flow.authorize_url or (_GOOGLE_PAGE if flow.provider == "google" else None)
        if page is None:
            raise MailProxyError("give --device-url or --authorize-url of this provider")
        return _by_loopback(flow, page, talk)
    except TokenTrouble as trouble:
        raise MailProxyError(str(trouble)) from None


def _by_device(flow: Flow, device_url: str, talk: Talk) -> str:
    """Device flow (RFC 8628): the person enters a code on a page, on any device."""
    form = {"client_id": flow.client_id, "scope": flow.wanted_scope or ""}
    status, body = _post(device_url, {k: v for k, v in form.items() if v})
    answer = _object(body)
    code, user_code = answer.get("device_code"), answer.get("user_code")
    page = answer.get("verification_uri") or answer.get("verification_url")
    if status != 200 or not all(isinstance(part, str) for part in (code, user_code, page)):
        raise MailProxyError(_refusal(status, body))
    talk(f"Open [bold]{escape(str(page))}[/] and enter the code [bold]{escape(str(user_code))}[/]")
    interval = _number(answer.get("interval"), _USUAL_INTERVAL)
    valid = min(flow.seconds, _number(answer.get("expires_in"), flow.seconds))
    give_up_at = time.monotonic() + valid
    request = {"grant_type": _DEVICE_GRANT, "device_code": str(code), "client_id": flow.client_id}
    while time.monotonic() < give_up_at:
        time.sleep(min(interval, _LONGEST_INTERVAL))
        status, body = _post(flow.token_url, {**request, **flow.secret})
        error = _object(body).get("error")
        if error == "slow_down":
            interval += _USUAL_INTERVAL  # RFC 8628 section 3.5
        elif error != "authorization_pending":
            return _refresh_token(status, body, flow)
    raise MailProxyError(f"nobody entered the code within {valid:g} seconds")


def _by_loopback(flow: Flow, page: str, talk: Talk) -> str:
    """Loopback flow (RFC 8252 section 7.3) with PKCE (RFC 7636)."""
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    with _Listener(state) as listener:
        redirect = f"http://127.0.0.1:{listener.server_port}/"
        challenge = hashlib.sha256(verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": flow.client_id,
            "redirect_uri": redirect,
            "scope": flow.wanted_scope,
            "state": state,
            "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "access_type": "offline",
            "prompt": "consent",
            "login_hint": flow.login_hint,
        }
        url = f"{page}?{urlencode({k: v for k, v in query.items() if v})}"
        talk(f"Open this page in a browser of this machine:\n{escape(url)}")
        if flow.opens_browser:
            webbrowser.open(url)
        code = listener.wait(flow.seconds)
    request = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect,
        "code_verifier": verifier,
        "client_id": flow.client_id,
    }
    return _refresh_token(*_post(flow.token_url, {**request, **flow.secret}), flow)


class _Listener(HTTPServer):
    """HTTP server on loopback that takes the redirect of the authorization page."""

    def __init__(self, state: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = state
        self.code: str | None = None
        self.error: str | None = None

    def wait(self, seconds: float) -> str:
        """Return the code of the redirect."""
        give_up_at = time.monotonic() + seconds
        while self.code is None and self.error is None:
            self.timeout = give_up_at - time.monotonic()
            if self.timeout <= 0:
                raise MailProxyError(f"nobody allowed the access within {seconds:g} seconds")
            self.handle_request()
        if self.code is None:
            raise MailProxyError(f"the access was not allowed: {self.error}")
        return self.code


class _Handler(BaseHTTPRequestHandler):
    """Request of the browser: the redirect, or any other, which is answered with 404."""

    server: _Listener
    timeout = 10.0  # for the octets of one request

    def do_GET(self) -> None:
        """Take the redirect, whose ``state`` is the one of this authorization."""
        given = parse_qs(urlsplit(self.path).query)
        state = given.get("state", [""])[0]
        if not secrets.compare_digest(state.encode(), self.server.state.encode()):
            self.send_error(404)
            return
        self.server.code = given.get("code", [None])[0]
        if self.server.code is None:
            error = given.get("error", ["no code"])[0]
            self.server.error = "".join(c for c in error[:100] if c.isprintable())
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(_FAILED if self.server.code is None else _DONE)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Write no log: the address has the code."""


def _refresh_token(status: int, body: bytes, flow: Flow) -> str:
    issued = issued_token(status, body, [flow.client_secret] if flow.client_secret else [])
    if issued.refresh_token is None:
        raise MailProxyError(
            "the token server gave no refresh token: ask for it with the scope offline_access"
        )
    return issued.refresh_token


def _refusal(status: int, body: bytes) -> str:
    try:
        issued_token(status, body, [])
    except TokenTrouble as trouble:
        return str(trouble)
    return f"the answer of the device authorization is not understood: HTTP {status}"


def _post(url: str, form: dict[str, str]) -> tuple[int, bytes]:
    """Return status and body of an answer, of which too long ones are cut off."""
    try:
        with httpx.stream("POST", url, data=form, timeout=_CALL_SECONDS) as response:
            body = b""
            for chunk in response.iter_bytes(_MOST_BYTES):
                body += chunk
                if len(body) > _MOST_BYTES:
                    break
            return response.status_code, body[:_MOST_BYTES]
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise MailProxyError(f"{urlsplit(url).netloc}: {error or type(error).__name__}") from None


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: Any, usual: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return max(0.0, float(value)) if is_number else usual
