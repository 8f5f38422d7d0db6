"""Command ``manage.py send_outbox``."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mail_proxy.contrib.django import conf, outbox
from mail_proxy.errors import MailProxyError


class Command(BaseCommand):
    """Send the messages of the outbox, once or every few seconds."""

    help = "Hand the messages of the outbox to the mail proxy."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--every", type=float, metavar="SECONDS", help="Go on, with this pause between runs."
        )

    def handle(self, *_: Any, every: float | None = None, **__: Any) -> None:
        with conf.new_client() as client:
            while True:
                try:
                    taken = outbox.send_outbox(client)
                except MailProxyError as error:
                    if every is None:
                        raise CommandError(f"the messages stay in the outbox: {error}") from error
                    self.stderr.write(f"The messages stay in the outbox: {error}")
                else:
                    if taken or every is None:
                        self.stdout.write(f"{taken} messages handed to the proxy")
                if every is None:
                    return
                time.sleep(every)
