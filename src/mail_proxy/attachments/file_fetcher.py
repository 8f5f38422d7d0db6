"""Attachments that are files below the folders that the settings name."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from mail_proxy.attachments.fetching import Draft, FetchFailed, FetchRequest
from mail_proxy.kit.side_thread import SideThread

_PIECE_BYTES = 262_144


class FileFetcher:
    """Reads files below ``roots``, and relative paths below ``base_dir``.

    Neither ``..`` nor links lead out of them.
    """

    def __init__(self, roots: Sequence[Path], base_dir: Path | None, beside: SideThread) -> None:
        self._roots = [Path(os.path.realpath(root)) for root in roots]
        self._base_dir = None if base_dir is None else Path(os.path.realpath(base_dir))
        self._beside = beside

    async def fetch(self, request: FetchRequest, draft: Draft) -> None:
        await self._beside.run(self._copy, request.attachment.reference, draft)

    def _copy(self, text: str, draft: Draft) -> None:
        try:
            with ExitStack() as files:
                descriptor = self._open(text, files)
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode):
                    raise FetchFailed("is not a file")
                draft.expect(found.st_size)
                while piece := os.read(descriptor, _PIECE_BYTES):
                    draft.write(piece)
                draft.check_size(found.st_size)
        except OSError as error:
            raise _unreadable(error) from None

    def _open(self, text: str, files: ExitStack) -> int:
        """Return the descriptor of a file.

        It is opened folder by folder without following links, so that a folder that is replaced
        by a link meanwhile does not lead out.
        """
        root, path = self._place(text)
        here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        files.callback(os.close, here)
        *folders, name = path.relative_to(root).parts
        for folder in folders:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            here = os.open(folder, flags, dir_fd=here)
            files.callback(os.close, here)
        # Without O_NONBLOCK, opening a pipe would wait for its other end.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=here)
        files.callback(os.close, descriptor)
        return descriptor

    def _place(self, text: str) -> tuple[Path, Path]:
        """Return the root that a path is below, and the path without links and ``..``."""
        given = Path(text)
        roots = self._roots
        if not given.is_absolute():
            if self._base_dir is None:
                raise FetchFailed(
                    "is a relative path, and the setting base_dir (GMP_BASE_DIR) names no folder"
                )
            given, roots = self._base_dir / given, [self._base_dir]
        elif not roots:
            raise FetchFailed(
                "is refused: the setting attachment_roots (GMP_ATTACHMENT_ROOTS) names no folder"
            )
        path = Path(os.path.realpath(given))
        for root in roots:
            if path.is_relative_to(root) and path != root:
                return root, path
        raise FetchFailed("is outside of the folders that the setting allows")


def _unreadable(error: OSError) -> FetchFailed:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return FetchFailed("no such file")
    if isinstance(error, IsADirectoryError):
        return FetchFailed("is not a file")
    if isinstance(error, PermissionError):
        return FetchFailed("the service may not read the file")
    reason = error.strerror or type(error).__name__
    return FetchFailed(f"cannot be read: {reason}", is_temporary=True)
