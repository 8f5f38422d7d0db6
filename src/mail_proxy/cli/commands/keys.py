"""Command ``keys rotate``: encrypts the stored secrets with a new key."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from mail_proxy.cli.output import progressing, talk
from mail_proxy.cli.target import Target
from mail_proxy.encryption import KEY_VARIABLE, parse_key, read_key_file
from mail_proxy.errors import EncryptionError, Malformed

if TYPE_CHECKING:
    from mail_proxy.operations.keys import Rotated

commands = typer.Typer(help="Change the key that encrypts the stored secrets.")


@commands.callback()
def _group() -> None:
    pass


@commands.command()
def rotate(
    context: typer.Context,
    new_key_file: Annotated[
        Path | None,
        typer.Option(help="File with the new key, 32 raw bytes.", show_default="a random key"),
    ] = None,
    new_key_env: Annotated[
        str | None,
        typer.Option(
            metavar="VARIABLE",
            help="Environment variable with the new key, base64 of 32 bytes.",
            show_default="a random key",
        ),
    ] = None,
) -> None:
    """Encrypt all stored secrets with a new key. Stop the instance first."""
    # Imported only when it runs, so that the other commands start fast.
    import mail_proxy.features.registry  # noqa: F401  # declares the tables of features
    from mail_proxy.operations.keys import Rotation
    from mail_proxy.sql import SqlDb

    instance = Target.of(context).instance
    new_key = _given_key(new_key_file, new_key_env)
    instance.refuse_while_running(f"`mail-proxy stop {instance.name}` first")
    config = instance.load_own_config(None, os.environ).config
    # Held, so that the instance cannot be started in between.
    with instance.pid_file.hold():
        db = SqlDb(config.database_url)
        try:
            rotation = Rotation(config, db, new_key)
            rotation.prepare()
            with progressing("Encrypting with the new key") as progress:
                values = rotation.commit(time.time(), progress)
            rotated = rotation.finish()
        finally:
            db.dispose()
    talk(f"{values} values are encrypted with the new key")
    _print_next_steps(rotated)


def _given_key(file: Path | None, variable: str | None) -> bytes | None:
    if file is not None and variable is not None:
        raise Malformed("--new-key-file and --new-key-env cannot be used together")
    if variable is not None:
        text = os.environ.get(variable)
        if not text:
            raise EncryptionError(f"--new-key-env: {variable} is not set")
        return parse_key(text, variable)
    if file is None:
        return None
    key = read_key_file(file)
    if key is None:
        raise EncryptionError(f"--new-key-file: {file} does not exist")
    return key


def _print_next_steps(rotated: Rotated) -> None:
    file = rotated.key_file
    if rotated.outside is None:
        talk(f"  key     {escape(str(file))}")
        talk("  next    back up the key, apart from the database")
        return
    talk(f"[yellow]{escape(rotated.outside)} still has the old key.[/] Set it to the new one:")
    if file is None:
        talk("  the key that you passed")
        return
    quoted = escape(shlex.quote(str(file)))
    if rotated.outside == KEY_VARIABLE:
        talk(f"  export {KEY_VARIABLE}=$(base64 -w0 {quoted})")
    else:
        talk(f"  cp {quoted} {escape(rotated.outside)}")
    talk(f"and then remove the file: rm {quoted}")
