"""Commands ``backup`` and ``restore``: an instance in one file, and back."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from mail_proxy.cli import archive
from mail_proxy.cli.instance import Instance
from mail_proxy.cli.names import home_folder
from mail_proxy.cli.options import Json
from mail_proxy.cli.output import print_json, progressing, talk
from mail_proxy.cli.target import Target
from mail_proxy.encryption import key_from_outside
from mail_proxy.errors import Conflict, Malformed
from mail_proxy.kit.private_files import make_folder

if TYPE_CHECKING:
    from mail_proxy.sql import SqlDb


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write (.tar.gz).")],
    with_key: Annotated[
        bool,
        typer.Option(
            "--with-key",
            help="Put the encryption key, the token and the secrets of config.toml in as well. "
            "Who has the file can then read every stored password.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Write database, settings and kept files to one file.

    The instance may run meanwhile; the state is that of one moment. Back up the encryption key
    apart from it, or use --with-key.
    """
    from mail_proxy.operations import backups
    from mail_proxy.sql.migrations import current
    from mail_proxy.wire.service import program_version

    instance = Target.of(context).instance
    running = instance.find_running()
    options = running.options if running else None
    config = instance.load_own_config(options, os.environ).config
    now, target = time.time(), file.absolute()
    with _opened(config.database_url) as db, _work_folder(target.parent) as work:
        schema = current(db)
        if schema is None:
            raise Conflict(f"{instance.name} has no messages yet: it was never started")
        dumped = work / archive.DATABASE
        with progressing(f"Copying the database of {instance.name}") as progress:
            backups.dump(db, dumped, progress)
        manifest = archive.Manifest(
            instance.name, db.adapter.name, schema, program_version(), int(now), with_key
        )
        with progressing(f"Writing {target.name}"), archive.new_archive(target, manifest) as new:
            _add_files(new, instance, dumped, with_key)
        backups.record(db, now)
    size = target.stat().st_size
    if json:
        print_json({"file": str(target), "bytes": size, **vars(manifest)})
        return
    talk(f"The backup of [bold]{instance.name}[/] is {escape(str(target))}, {size / 1e6:.1f} MB")
    if not with_key:
        place = key_from_outside(os.environ) or str(instance.key_file)
        talk(f"  key      not in it; keep a copy of {escape(place)} elsewhere")
    talk(f"  restore  mail-proxy restore NAME {escape(str(target))}")


def restore(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the instance to make.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File of `mail-proxy backup`.")],
    held: Annotated[
        bool,
        typer.Option("--held", help="Suspend every tenant, so that a copy sends no mail."),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace the instance NAME, which must be stopped."),
    ] = False,
    database_url: Annotated[
        str | None,
        typer.Option(
            help="URL of an empty PostgreSQL database, for a backup of one. Other users of this "
            "machine can see it; put a URL with a password into GMP_DATABASE_URL.",
            show_default="GMP_DATABASE_URL",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make an instance from a backup. Starts nothing.

    Messages that were sent after the backup was made are sent again once it is started: use
    --held for a copy, and activate its tenants when it shall send.
    """
    from mail_proxy.operations import backups

    instance = Instance(name, home_folder(os.environ))
    if instance.exists() and not force:
        raise Conflict(f"the instance {name} exists; --force replaces it, with its messages")
    instance.refuse_while_running(f"`mail-proxy stop {name}` first")
    url = database_url or _url_of_environment()
    make_folder(instance.folder.parent)
    with (
        archive.opened_archive(file) as (manifest, tar),
        _work_folder(instance.folder.parent) as work,
    ):
        backups.refuse_newer(manifest.schema)
        _check_database(manifest, url)
        new = Instance(name, work)
        new.folder.mkdir(mode=0o700)
        with progressing(f"Unpacking {file.name}"):
            archive.unpack(tar, new.folder)
        with progressing("Filling the database"):
            suspended = _fill_database(new, manifest.database, url, held)
        if instance.exists():
            _keep_secrets(instance, new)
        _put_in_place(new, instance, work)
    if json:
        print_json({"name": name, "folder": str(instance.folder), "suspended_tenants": suspended})
    else:
        _tell(instance, held, suspended)


def _add_files(
    new: archive.ArchiveWriter, instance: Instance, dumped: Path, with_key: bool
) -> None:
    config = instance.config_file.read_text(encoding="utf-8")
    new.text(archive.CONFIG, archive.portable_config(config, keep_secrets=with_key))
    new.file(archive.DATABASE, dumped)
    dumped.unlink()
    if with_key:
        new.file(archive.KEY, instance.key_file)
        new.file(archive.TOKEN, instance.token_file)
    # Behind the database: what its rows name was there before them.
    for folder in archive.FOLDERS:
        new.folder(folder, instance.folder / folder)


@contextmanager
def _opened(url: str) -> Iterator[SqlDb]:
    # Loaded only when it is used, so that the other commands start fast.
    import mail_proxy.features.registry  # noqa: F401  # declares the tables of features
    from mail_proxy.sql import SqlDb

    db = SqlDb(url)
    try:
        yield db
    finally:
        db.dispose()


@contextmanager
def _work_folder(parent: Path) -> Iterator[Path]:
    """Make a private folder on the disk of the result, and remove it at the end."""
    if not parent.is_dir():
        raise Malformed(f"the folder {parent} does not exist")
    with tempfile.TemporaryDirectory(prefix=".mail-proxy-", dir=parent) as folder:
        yield Path(folder)


def _url_of_environment() -> str | None:
    for variable in ("GMP_DATABASE_URL", "GMP_DB_PATH"):
        url = os.environ.get(variable, "")
        if url.startswith("postgres"):
            return url
    return None


def _check_database(manifest: archive.Manifest, url: str | None) -> None:
    is_server = manifest.database == "postgresql"
    if is_server and (url is None or not url.startswith("postgres")):
        raise Malformed(
            "this is the backup of a PostgreSQL database: name an empty one with --database-url, "
            "or with GMP_DATABASE_URL if the URL has a password"
        )
    if not is_server and url is not None:
        raise Malformed(
            "this is the backup of a SQLite database, which becomes a file of the instance; "
            "leave --database-url and GMP_DATABASE_URL out"
        )


def _fill_database(new: Instance, kind: str, url: str | None, held: bool) -> int:
    from mail_proxy.operations import backups

    dumped = new.folder / archive.DATABASE
    if kind == "postgresql" and url is not None:
        new.remembered_database.remember(url)
    else:
        url = f"sqlite:///{new.database}"
    with _opened(url) as db:
        suspended = backups.load(db, dumped, held=held)
    dumped.unlink()
    return suspended


def _keep_secrets(old: Instance, new: Instance) -> None:
    """Copy key and token of the replaced instance, as far as the backup has none."""
    for source, target in ((old.key_file, new.key_file), (old.token_file, new.token_file)):
        if source.exists() and not target.exists():
            shutil.copy2(source, target)


def _put_in_place(new: Instance, instance: Instance, work: Path) -> None:
    if not instance.folder.exists():
        new.folder.rename(instance.folder)
        return
    # Held, so that the instance cannot be started in between.
    with instance.pid_file.hold():
        instance.folder.rename(work / "replaced")
        new.folder.rename(instance.folder)


def _tell(instance: Instance, held: bool, suspended: int) -> None:
    name = instance.name
    talk(f"Restored the instance [bold]{name}[/] in {escape(str(instance.folder))}")
    if held:
        talk(f"  held    {suspended} tenants are suspended: no mail is sent before `activate`.")
        talk("          Reports and mailboxes are not held; GMP_TEST_MODE=true holds these too")
    if not instance.key_file.exists() and key_from_outside(os.environ) is None:
        place = escape(str(instance.key_file))
        talk(f"  [yellow]key[/]     not in the backup; put it into {place}")
    talk(f"  next    mail-proxy start {name} --background")
