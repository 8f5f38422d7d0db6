"""Hide secret options of a background process from the list of processes.

Every user can read the arguments of a process. A forked process keeps those of the command that
the user typed, for as long as the service runs. So if they hold a secret, the process starts the
program again and hands the options over through a pipe.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from mail_proxy.cli.instance import Instance
from mail_proxy.cli.output import complain, without_password
from mail_proxy.errors import MailProxyError


def holds_secret(command_line: Mapping[str, Any]) -> bool:
    """Return True if an option has a token, or a URL with a password."""
    url = command_line.get("db_path") or ""
    return bool(command_line.get("api_token")) or without_password(url) != url


def replace_process(instance: Instance, command_line: Mapping[str, Any], reload: bool) -> NoReturn:
    """Serve the instance in this process under a new list of arguments."""
    reader, writer = os.pipe()
    options = {"command_line": command_line, "reload": reload}
    # A pipe takes 64 kB before anybody reads.
    os.write(writer, json.dumps({"home": str(instance.folder.parent), **options}).encode())
    os.close(writer)
    os.set_inheritable(reader, True)
    program = ["-P", "-m", "mail_proxy.cli.background", instance.name, str(reader)]
    os.execv(sys.executable, [sys.executable, *program])  # noqa: S606 - no shell, as it should be


def main() -> None:
    """Serve the instance that the first argument names, with options from a pipe."""
    from mail_proxy.cli.commands.lifecycle import serve

    with os.fdopen(int(sys.argv[2])) as pipe:
        given = json.load(pipe)
    try:
        instance = Instance(sys.argv[1], Path(given["home"]))
        serve(instance, given["command_line"], given["reload"], lambda _: None)
    except MailProxyError as error:
        complain(error.message)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
