"""OAuth2 token server on loopback, for tests of log-ins with access tokens."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from mail_proxy.testing.sync_endpoint import Reply, ReportCall, SyncEndpoint

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """Request of a token as it arrived: its fields, each of which came once."""

    path: str
    form: dict[str, str]


class ScriptedTokenServer(SyncEndpoint):
    """Token server that issues tokens, and checks each request octet by octet.

        async with ScriptedTokenServer(client_id="app", client_secret="secret") as tokens:
            auth = {"method": "oauth2", "provider": "custom", "grant": "client_credentials",
                    "client_id": "app", "client_secret": "secret", "token_url": tokens.token_url}
            async with ScriptedSmtpServer(accepts_token=tokens.accepts) as smtp:
                ...

    It knows one client, the refresh tokens in ``refresh_tokens`` and the service account with
    ``public_key``. With ``rotates`` each refresh token is valid once. ``script`` (of
    ``SyncEndpoint``) lets the next requests fail. Device codes are granted after
    ``pending_answers`` requests.
    """

    def __init__(
        self,
        *,
        client_id: str = "app",
        client_secret: str | None = "secret",  # noqa: S107 - of a test
        public_key: RSAPublicKey | None = None,
        valid_seconds: float = 3600,
        rotates: bool = False,
        token_length: int = 0,
        **options: Any,
    ) -> None:
        """Issue tokens of at least ``token_length`` characters."""
        super().__init__(self._answer_request, **options)
        self.client_id = client_id
        self.client_secret = client_secret
        self.public_key = public_key
        self.valid_seconds = valid_seconds
        self.rotates = rotates
        self.token_length = token_length
        self.refresh_tokens = {"refresh-0"}
        self.valid_tokens: set[str] = set()
        self.requests: list[TokenRequest] = []
        self.issued = 0
        self.pending_answers = 1
        self._rotations = 0

    @property
    def token_url(self) -> str:
        """URL of the token requests."""
        return f"{self.url}/oauth2/v2.0/token"

    def accepts(self, user: str, token: str) -> bool:
        """Return whether a mail server should accept the token."""
        return token in self.valid_tokens

    def revoke_tokens(self) -> None:
        """Make all access tokens invalid; refresh tokens stay."""
        self.valid_tokens.clear()

    def _answer_request(self, call: ReportCall) -> Reply:
        pairs = parse_qsl(call.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        form = dict(pairs)
        self.requests.append(TokenRequest(call.path, dict(form)))
        if len(form) != len(pairs):
            return _refusal("invalid_request", "a field came twice")
        if call.headers.get("content-type") != "application/x-www-form-urlencoded":
            return _refusal("invalid_request", "not a form")
        if call.path.endswith("/devicecode"):
            return self._device_code(form)
        return self._grant(form)

    def _grant(self, form: dict[str, str]) -> Reply:
        grant = form.pop("grant_type", "")
        if grant == _JWT_BEARER:
            return self._of_assertion(form)
        if (form.pop("client_id", None), form.pop("client_secret", None)) != (
            self.client_id,
            self.client_secret,
        ):
            return _refusal("invalid_client", "AADSTS7000215: Invalid client secret.", 401)
        form.pop("scope", None)
        if grant == "client_credentials":
            return self._tokens(form)
        if grant == "refresh_token":
            return self._refreshed(form)
        if grant == "authorization_code":
            expected = {"code", "redirect_uri", "code_verifier"}
            return self._tokens(dict.fromkeys(set(form) ^ expected, ""), with_refresh=True)
        if grant == _DEVICE:
            return self._of_device(form)
        return _refusal("unsupported_grant_type", f"not known: {grant}")

    def _refreshed(self, form: dict[str, str]) -> Reply:
        given = form.pop("refresh_token", "")
        if given not in self.refresh_tokens:
            text = "AADSTS70008: The refresh token has expired or was revoked."
            return _refusal("invalid_grant", text)
        if not self.rotates:
            return self._tokens(form)
        self.refresh_tokens.discard(given)
        return self._tokens(form, with_refresh=True)

    def _of_device(self, form: dict[str, str]) -> Reply:
        if form != {"device_code": "device-1"}:
            return _refusal("invalid_grant", "no such device code")
        if self.pending_answers > 0:
            self.pending_answers -= 1
            return _refusal("authorization_pending", "")
        return self._tokens({}, with_refresh=True)

    def _device_code(self, form: dict[str, str]) -> Reply:
        if form.get("client_id") != self.client_id:
            return _refusal("invalid_client", "no such application")
        return Reply(
            {
                "device_code": "device-1",
                "user_code": "WDJB-MJHT",
                "verification_uri": f"{self.url}/device",
                "expires_in": 900,
                "interval": 0,
                "message": "ignored",
            }
        )

    def _of_assertion(self, form: dict[str, str]) -> Reply:
        mistake = "no key" if self.public_key is None else None
        if mistake is None and self.public_key is not None:
            mistake = self._mistake_of(form.pop("assertion", ""), self.public_key)
        if mistake is not None:
            return _refusal("invalid_grant", f"Invalid JWT: {mistake}")
        return self._tokens(form)

    def _mistake_of(self, assertion: str, public_key: RSAPublicKey) -> str | None:
        head, claims, signature = assertion.split(".")
        try:
            signed = f"{head}.{claims}".encode()
            public_key.verify(_octets(signature), signed, PKCS1v15(), SHA256())
        except InvalidSignature:
            return "signature"
        if json.loads(_octets(head)) != {"alg": "RS256", "typ": "JWT"}:
            return "header"
        said = json.loads(_octets(claims))
        if set(said) - {"scope"} != {"iss", "sub", "aud", "iat", "exp"}:
            return f"claims {sorted(said)}"
        if said["iss"] != self.client_id or said["aud"] != self.token_url:
            return "iss or aud"
        return None if 0 < said["exp"] - said["iat"] <= 3600 else "exp"

    def _tokens(self, unknown: dict[str, str], *, with_refresh: bool = False) -> Reply:
        if unknown:
            return _refusal("invalid_request", f"unknown fields: {sorted(unknown)}")
        self.issued += 1
        token = f"token-{self.issued}-".ljust(self.token_length, "x")
        self.valid_tokens.add(token)
        answer: dict[str, Any] = {
            "token_type": "Bearer",
            "access_token": token,
            "expires_in": self.valid_seconds,
        }
        if with_refresh:
            self._rotations += 1
            answer["refresh_token"] = f"refresh-{self._rotations}"
            self.refresh_tokens.add(answer["refresh_token"])
        return Reply(answer)


def _refusal(error: str, description: str, status: int = 400) -> Reply:
    return Reply({"error": error, "error_description": description}, status)


def _octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
