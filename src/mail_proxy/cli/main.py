"""Entry point of the command line ``mail-proxy``. Commands: ``cli.commands``."""

from __future__ import annotations

import os
import sys

from mail_proxy.cli.overview import print_overview, wants_overview
from mail_proxy.errors import MailProxyError

#: Set by the shell's completion script.
_COMPLETING = "_MAIL_PROXY_COMPLETE"


def main() -> None:
    """Run the command that ``sys.argv`` names, and exit with its code."""
    words = sys.argv[1:]
    if wants_overview(words) and _COMPLETING not in os.environ:
        print_overview()
        sys.exit(0 if words else 2)
    # Loaded only now, so that the overview comes at once.
    from mail_proxy.cli.root import run

    try:
        run(words, os.environ)
    except MailProxyError as error:
        from mail_proxy.cli.output import complain

        complain(error.message)
        sys.exit(error.exit_code)
