"""Calls about DKIM keys."""

from __future__ import annotations

from typing import Literal

from mail_proxy.client.calls import Given, Group, Mode, call
from mail_proxy.client.reading import field_of, model
from mail_proxy.wire.dkim import DkimCheckOut, DkimKeySaved, DkimKeysOut
from mail_proxy.wire.tenants import Done


class Dkim(Group[Mode]):
    """Calls about DKIM keys."""

    @call("POST", "/dkim", model(DkimKeySaved), repeatable=False)
    def add(
        self,
        domain: str,
        *,
        selector: str | None = None,
        algorithm: Literal["rsa-sha256", "ed25519-sha256"] = "rsa-sha256",
        private_key: str | None = None,
        tenant_id: str | None = None,
    ) -> Given:
        """Add a DKIM key to a domain, made by the service or as PKCS#8 PEM of your own.

        The answer has the TXT record to publish.
        """
        optional = {"selector": selector, "private_key": private_key}
        body = {k: v for k, v in optional.items() if v is not None}
        return Given(body={"domain": domain, "algorithm": algorithm, **body}, tenant_id=tenant_id)

    @call("GET", "/dkim", field_of(DkimKeysOut, lambda answer: answer.keys))
    def list(self, *, tenant_id: str | None = None) -> Given:
        """Return the DKIM keys without their private halves."""
        return Given(tenant_id=tenant_id)

    @call("DELETE", "/dkim/{domain}/{selector}", model(Done), repeatable=False)
    def delete(self, domain: str, selector: str, *, tenant_id: str | None = None) -> Given:
        """Remove a DKIM key; mails that are sent from now on are not signed with it."""
        return Given(path={"domain": domain, "selector": selector}, tenant_id=tenant_id)

    @call("POST", "/dkim/{domain}/{selector}/check", model(DkimCheckOut))
    def check(self, domain: str, selector: str, *, tenant_id: str | None = None) -> Given:
        """Compare a DKIM key with its TXT record in the DNS."""
        return Given(path={"domain": domain, "selector": selector}, tenant_id=tenant_id)
