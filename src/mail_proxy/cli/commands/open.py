"""Command ``open``: a one-time link to the dashboard."""

from __future__ import annotations

import typer

from mail_proxy.cli.options import Json
from mail_proxy.cli.output import print_json, print_line, talk
from mail_proxy.cli.target import Target
from mail_proxy.errors import NotFound


def open_(context: typer.Context, json: Json = False) -> None:
    """Print a link that logs you in to the dashboard, once, within five minutes."""
    target = Target.of(context)
    running = target.instance.find_running()
    if running is None:
        name = target.instance.name
        raise NotFound(f"{name} is not running; `mail-proxy start {name}`")
    with target.client() as client:
        link = client.instance.ui_link()
    url = f"{running.url}{link.path}"
    if json:
        print_json({"url": url, "expires_ts": link.expires_ts})
    else:
        print_line(url)
        talk("It works once, for five minutes.")
