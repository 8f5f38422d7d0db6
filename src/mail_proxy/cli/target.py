"""Instance and tenant that a command is about, and the client to reach them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from mail_proxy.cli.instance import Instance

if TYPE_CHECKING:
    from mail_proxy.client import MailProxyClient

#: A stopped instance answers from this process, which has no other address.
_IN_PROCESS_URL = "http://localhost"


@dataclass(frozen=True)
class Target:
    """Instance, and tenant if the command line names one, that a command is about."""

    instance: Instance
    tenant_id: str | None = None

    @classmethod
    def of(cls, context: typer.Context) -> Target:
        """Return the target of a command's context."""
        target: Target = context.obj
        return target

    @classmethod
    def named(cls, text: str) -> Target:
        """Return the target ``NAME`` or ``NAME/TENANT``. Raises NotFound."""
        name, _, tenant_id = text.partition("/")
        return cls(Instance.existing(name, os.environ), tenant_id or None)

    @property
    def words(self) -> str:
        """The words of a command line for this target, to show what to do next."""
        about = self.instance.name + (f" {self.tenant_id}" if self.tenant_id else "")
        return f"mail-proxy {about}"

    @contextmanager
    def client(self) -> Iterator[MailProxyClient]:
        """Connect to the running service, or to the application in this process.

        In this process, the application does not deliver or report.
        """
        # Loaded by the commands that need it only, so that the others start fast.
        from mail_proxy.client import MailProxyClient

        running = self.instance.find_running()
        token = self.instance.token()
        if running is not None:
            with MailProxyClient(
                running.url, token, tenant_id=self.tenant_id, trust_env=False
            ) as client:
                yield client
            return
        from mail_proxy.cli.in_process import in_process

        config = self.instance.load_own_config(None, os.environ).config
        with (
            in_process(config) as transport,
            MailProxyClient(
                _IN_PROCESS_URL, token, tenant_id=self.tenant_id, transport=transport
            ) as client,
        ):
            yield client
