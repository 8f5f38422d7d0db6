"""Backup and restore of a PostgreSQL database with pg_dump and pg_restore."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from sqlalchemy.engine import URL

from mail_proxy.errors import Conflict, DatabaseUnavailable, MailProxyError

_CONNECT_SECONDS = 10
#: A migration that holds its locks for longer makes the backup fail instead of waiting.
_LOCK_MILLISECONDS = 60_000
#: Tables, views and sequences of the schema that the service uses.
_CONTENT = "SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
_MOST_WORDS = 500


class ProgramMissing(MailProxyError):
    """A program of PostgreSQL is not installed on this machine."""

    code = "program_missing"


def dump(url: URL, file: Path) -> None:
    """Write the database to ``file``, in pg_dump's custom format."""
    _run("pg_dump", url, "--format=custom", f"--lock-wait-timeout={_LOCK_MILLISECONDS}", file=file)


def load(url: URL, file: Path) -> None:
    """Fill an empty database from a file of ``dump``, in one transaction."""
    _refuse_full(url)
    _run("pg_restore", url, "--exit-on-error", "--single-transaction", source=file)


def _run(
    program: str, url: URL, *options: str, file: Path | None = None, source: Path | None = None
) -> None:
    """Run a program of PostgreSQL, with the password in its environment."""
    found = shutil.which(program)
    if found is None:
        raise ProgramMissing(
            f"{program} is not installed: install PostgreSQL's client programs, of the server's "
            "version or newer (Debian: postgresql-client)"
        )
    command = [found, "--no-password", "--no-owner", "--no-privileges", *options]
    command.append(f"--dbname={_without_password(url)}")
    command += [f"--file={file}"] if file else [str(source)]
    environ = {**os.environ, "PGCONNECT_TIMEOUT": str(_CONNECT_SECONDS)}
    if url.password is not None:
        environ["PGPASSWORD"] = url.password
    done = subprocess.run(command, env=environ, capture_output=True, text=True, errors="replace")
    if done.returncode:
        words = " ".join(done.stderr.split())[:_MOST_WORDS]
        raise DatabaseUnavailable(f"{program} failed: {words}")


def _refuse_full(url: URL) -> None:
    import psycopg

    try:
        with psycopg.connect(
            _without_password(url), password=url.password, connect_timeout=_CONNECT_SECONDS
        ) as connection:
            found = connection.execute(_CONTENT).fetchone()
    except psycopg.Error as error:
        raise DatabaseUnavailable(f"the database cannot be reached: {error}") from error
    if found and found[0]:
        raise Conflict(f"the database {url.database} is not empty; make a new one for the backup")


def _without_password(url: URL) -> str:
    """Return the URL as libpq understands it."""
    return url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
