"""Folders and files of one user, closed to other users of the machine."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from mail_proxy.errors import MailProxyError

#: Bits of a mode that let the group or others in.
_OTHERS = 0o077


class UnsafeFile(MailProxyError):
    """Symbolic link in place of an instance's file, or a file that others can change."""

    code = "unsafe_file"


def reason_of(error: OSError | UnsafeFile) -> str:
    """Return an error in words; those of the system without a path."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error)


def make_folder(folder: Path) -> bool:
    """Make the folder with mode 0700, or make an existing one private.

    Missing parents are made with the same mode. Returns True if others had access. Raises
    UnsafeFile if the folder belongs to another user.
    """
    if not folder.parent.exists():
        make_folder(folder.parent)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    else:
        return False
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise UnsafeFile(
            f"{folder} belongs to the user with the id {found.st_uid}: run this command as that "
            f"user, or make the folder yours with chown"
        )
    if not stat.S_IMODE(found.st_mode) & _OTHERS:
        return False
    folder.chmod(0o700)
    return True


def open_private(path: Path, flags: int) -> int:
    """Open a file of mode 0600 and return its descriptor; a new one gets that mode.

    Raises UnsafeFile for a symbolic link and for anything else that is no plain file, and
    FileNotFoundError.
    """
    # Without O_NONBLOCK, opening a pipe would wait for its other end.
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _unsafe(path, "is a symbolic link") from None
        if error.errno in (errno.ENXIO, errno.EISDIR):
            raise _unsafe(path, "is no plain file") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _unsafe(path, "is no plain file")
    return descriptor


def refuse_links(*paths: Path) -> None:
    """Raise UnsafeFile if one of the files is a symbolic link."""
    for path in paths:
        if path.is_symlink():
            raise _unsafe(path, "is a symbolic link")


def _unsafe(path: Path, fault: str) -> UnsafeFile:
    return UnsafeFile(f"{path} {fault}: it is not used; remove it, or put a file in its place")


def write_private(path: Path, text: str) -> None:
    """Replace the file atomically, with mode 0600."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
