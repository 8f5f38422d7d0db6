"""Archive of receipts: each a file, byte for byte, named by its SHA-256."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mail_proxy.config import ProxyConfig
from mail_proxy.kit.private_files import make_folder, open_private

_DIGEST = re.compile(r"[0-9a-f]{64}")
_FOLDER = "receipts"


class ReceiptArchive:
    """Folder of receipts, which all hosts of a database share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, config: ProxyConfig) -> ReceiptArchive:
        """Return the archive in ``receipts_dir``, or in its default place."""
        if config.pec.receipts_dir is not None:
            return cls(config.pec.receipts_dir)
        parts = urlsplit(config.database_url)
        if parts.scheme != "sqlite":
            return cls(Path(_FOLDER))
        file = Path(unquote(config.database_url.removeprefix("sqlite:///")))
        return cls(file.parent / _FOLDER)

    def path(self, sha256: str) -> Path:
        """Return the file of a receipt."""
        assert _DIGEST.fullmatch(sha256), "a digest is a file name"
        return self.folder / sha256[:2] / f"{sha256}.eml"

    def keep(self, sha256: str, octets: bytes) -> None:
        """Write a receipt, so that it survives a crash; one that is there stays.

        Raises OSError and UnsafeFile.
        """
        file = self.path(sha256)
        if file.is_file() and file.stat().st_size == len(octets):
            return
        make_folder(self.folder)
        make_folder(file.parent)
        draft = file.with_suffix(f".{os.getpid()}")
        descriptor = open_private(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            with os.fdopen(descriptor, "wb") as written:
                written.write(octets)
                written.flush()
                os.fsync(written.fileno())
            draft.replace(file)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        for folder in (file.parent, self.folder):
            _sync(folder)

    def read(self, sha256: str) -> bytes | None:
        """Return the octets of a receipt; None if the file is missing."""
        try:
            return self.path(sha256).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, sha256: str) -> None:
        """Remove a receipt; one that is gone already is fine."""
        file = self.path(sha256)
        file.unlink(missing_ok=True)
        with suppress(OSError):
            file.parent.rmdir()  # if it is empty


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
