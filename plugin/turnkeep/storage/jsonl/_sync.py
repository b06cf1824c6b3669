"""Syncs of many files at once.

A sync of each of 10,000 files takes seconds. A local Linux file system syncs all of them in one
call, `syncfs`, and says if it failed (since Linux 5.8).
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ._disk import close_file, open_file, sync_folder

MANY: Final = 32
"""From so many files on, one sync of the whole file system is the cheaper one."""

_FILE_SYSTEMS: Final = {
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0xF2F52010: "f2fs",
    0x794C7630: "overlay",
    0x01021994: "tmpfs",
}
"""Those whose `syncfs` is known to keep its word; FUSE does not pass it on."""


def sync_files(paths: Collection[Path], folder: Path) -> None:
    """Sync files below `folder` that are still there, and the folders that they are in."""
    if len(paths) >= MANY and sync_file_system(folder):
        return
    folders: set[Path] = set()
    for path in paths:
        try:
            fd = open_file(path, os.O_RDONLY)
        except FileNotFoundError:
            continue  # it was removed, which the journal was told before
        try:
            os.fdatasync(fd)
        finally:
            close_file(fd)
        folders |= {path.parent, path.parent.parent}
    for one in folders:
        sync_folder(one)


def sync_file_system(folder: Path) -> bool:
    """Sync everything on a folder's file system; return False where that can't be relied on."""
    if _libc is None:
        return False
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _kind(fd) not in _FILE_SYSTEMS:
            return False
        if _libc.syncfs(fd) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(folder))
    finally:
        close_file(fd)
    return True


def _kind(fd: int) -> int:
    assert _libc is not None
    result = ctypes.create_string_buffer(256)
    if _libc.fstatfs(fd, result) != 0:
        return 0
    return ctypes.c_long.from_buffer(result).value & 0xFFFFFFFF  # `f_type` comes first


def _load() -> Any:
    """Return the C library, if the kernel's `syncfs` reports errors."""
    system = os.uname()
    version = re.match(r"(\d+)\.(\d+)", system.release)
    if system.sysname == "Linux" and version is not None:
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(None, use_errno=True)
            if (int(version[1]), int(version[2])) >= (5, 8) and library.syncfs and library.fstatfs:
                return library
    return None


_libc: Final = _load()
