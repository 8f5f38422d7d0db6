"""File of a backup: a tar archive, compressed with gzip, of one instance.

It holds ``manifest.json``, ``config.toml`` without secrets, ``database``, and the folders of the
instance that cannot be made again. The encryption key and the token are in it on request only.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tarfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from mail_proxy.errors import Conflict, Malformed
from mail_proxy.kit.private_files import make_folder
from mail_proxy.settings import settings

CONFIG, DATABASE, KEY, TOKEN = "config.toml", "database", "encryption_key", "token"
#: Folders of an instance whose files nothing else has.
FOLDERS = ("files", "receipts")
_MANIFEST = "manifest.json"
_FORMAT = 1
_LARGEST_MANIFEST = 10_000
_READ_BYTES = 1_000_000
#: Mails shrink by half; more effort costs ten times the processor time for a few per cent.
_COMPRESSION = 1
_SECRETS = tuple(setting.dotted for setting in settings() if setting.is_secret)
_READ_ERRORS = (tarfile.TarError, OSError, EOFError, ValueError, TypeError)


@dataclass(frozen=True)
class Manifest:
    """Description of a backup: its first file.

    ``schema`` is the revision of the database, None for an empty one; ``made_ts`` Unix seconds.
    """

    name: str
    database: str
    schema: str | None
    version: str
    made_ts: int
    has_key: bool
    format: int = _FORMAT


class ArchiveWriter:
    """Adds files to a new archive."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def text(self, name: str, text: str) -> None:
        octets = text.encode()
        info = tarfile.TarInfo(name)
        info.size = len(octets)
        self._tar.addfile(info, io.BytesIO(octets))

    def file(self, name: str, path: Path) -> None:
        """Add a plain file; one that is gone, or no plain file, is left out."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return
        with os.fdopen(descriptor, "rb") as source:
            info = self._tar.gettarinfo(arcname=name, fileobj=source)
            if info.isreg():
                self._tar.addfile(info, source)

    def folder(self, name: str, path: Path) -> None:
        """Add the files below a folder, if it is there."""
        for folder, _, files in os.walk(path):
            for file in files:
                found = Path(folder) / file
                self.file(f"{name}/{found.relative_to(path).as_posix()}", found)


@contextmanager
def new_archive(target: Path, manifest: Manifest) -> Iterator[ArchiveWriter]:
    """Write an archive of mode 0600 that replaces ``target`` when it is complete.

    Raises Conflict if ``target`` exists and is no backup.
    """
    if target.exists():
        _refuse_other_file(target)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=_COMPRESSION) as tar:
                writer = ArchiveWriter(tar)
                writer.text(_MANIFEST, json.dumps(asdict(manifest)))
                yield writer
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def opened_archive(path: Path) -> Iterator[tuple[Manifest, tarfile.TarFile]]:
    """Open an archive behind its manifest. Raises Malformed if the file is no backup."""
    try:
        tar = tarfile.open(path, "r:gz")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        raise Malformed(f"{path} does not exist") from None
    except _READ_ERRORS as error:
        raise Malformed(f"{path} is no backup of an instance: {error}") from None
    with tar:
        yield _manifest(tar, path), tar


def unpack(tar: tarfile.TarFile, folder: Path) -> None:
    """Write the files of an archive below ``folder``.

    Files get mode 0600, folders 0700. Raises Malformed if the archive is damaged or has other
    files.
    """
    try:
        for member in tar:
            if member.name != _MANIFEST:
                target = folder / _safe_name(member)
                _write(tar.extractfile(member), target)
        # To the end, where gzip has the checksum.
        while tar.fileobj is not None and tar.fileobj.read(_READ_BYTES):
            pass
    except _READ_ERRORS as error:
        raise Malformed(f"the backup is damaged: {error}") from None


def portable_config(config: str, *, keep_secrets: bool) -> str:
    """Return the text of a config.toml without ``db_path`` and secrets.

    Their lines become comments. Raises Malformed if one is written in another form.
    """
    left_out = ("db_path", *(() if keep_secrets else _SECRETS))
    names = "|".join({re.escape(dotted.rpartition(".")[2]) for dotted in left_out})
    line = re.compile(rf"^[ \t]*({names})[ \t]*=.*$", re.MULTILINE)
    text = line.sub(lambda found: f"# {found[1]} = (not in the backup)", config)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Malformed(f"config.toml: not TOML: {error}") from None
    for dotted in left_out:
        if _holds(tree, dotted):
            raise Malformed(
                f"config.toml: {dotted} must be on a line of its own, so that it can be left out: "
                "`name = value`, in its [group]"
            )
    return text


def _holds(tree: dict[str, Any], dotted: str) -> bool:
    group, _, key = dotted.rpartition(".")
    inner = tree.get(group, {}) if group else {}
    return key in tree or (isinstance(inner, dict) and key in inner)


def _manifest(tar: tarfile.TarFile, path: Path) -> Manifest:
    try:
        member = tar.next()
        file = tar.extractfile(member) if member and member.name == _MANIFEST else None
        if file is None:
            raise ValueError("it does not begin with a manifest")
        found = Manifest(**json.loads(file.read(_LARGEST_MANIFEST)))
    except _READ_ERRORS as error:
        raise Malformed(f"{path} is no backup of an instance: {error}") from None
    if found.format != _FORMAT:
        raise Malformed(f"{path} was made by a newer program ({found.version})")
    return found


def _refuse_other_file(path: Path) -> None:
    try:
        with opened_archive(path):
            pass
    except Malformed:
        raise Conflict(f"{path} exists and is no backup; it is not replaced") from None


def _safe_name(member: tarfile.TarInfo) -> str:
    parts = PurePosixPath(member.name).parts
    is_known = parts in ((CONFIG,), (DATABASE,), (KEY,), (TOKEN,)) or (
        len(parts) > 1 and parts[0] in FOLDERS and ".." not in parts
    )
    if not (is_known and member.isreg()):
        raise ValueError(f"it has a file that is none of an instance: {member.name[:200]!r}")
    return "/".join(parts)


def _write(source: IO[bytes] | None, path: Path) -> None:
    assert source is not None  # a plain file, see _safe_name
    make_folder(path.parent)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        shutil.copyfileobj(source, target)
