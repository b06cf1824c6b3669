"""A disk that drops what it could not write, as Linux does, and a power cut of it.

The page cache of a process that runs on is right, so nothing but a power cut shows what the disk
lacks. This one notes each write below a folder. A sync puts it on the disk; a sync that fails
drops it, and the next one that succeeds has nothing to write.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from turnkeep.storage.jsonl import _appender, _sync


class Disk:
    """The bytes on the disk of the files below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[int, bytearray] = {}
        self._dirty: dict[int, list[tuple[int, int]]] = {}
        self.fails: Callable[[Path], bool] = lambda path: False
        """Return True if the sync of a file fails now."""
        self.syncs: list[Path] = []

    @contextmanager
    def noting(self) -> Generator[Disk]:
        with pytest.MonkeyPatch.context() as patched:
            for name in ("write", "pwrite", "ftruncate", "fsync", "fdatasync"):
                patched.setattr(os, name, getattr(self, f"_{name}")(getattr(os, name)))
            for module in (_sync, _appender):
                patched.setattr(module, "sync_file_system", self._no_file_system)
            yield self

    def _no_file_system(self, _: Path) -> bool:
        return False  # each file is synced by itself, where it is seen

    def power_cut(self, copy: Path, dice: Random | None = None) -> Path:
        """Return a copy of the folder as the next start finds it: names hold, bytes may not.

        With dice, the disk has some of what was written since the last sync too.
        """
        for path in sorted(self._folder.rglob("*")):
            target = copy / path.relative_to(self._folder)
            if path.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self._found(path, dice))
        return copy

    def _found(self, path: Path, dice: Random | None) -> bytes:
        inode, now = path.stat().st_ino, path.read_bytes()
        found = bytearray(self._kept.get(inode, b""))
        if dice is None:
            return bytes(found)
        for start, end in self._dirty.get(inode, ()):
            end = dice.choice((start, (start + end) // 2, end, end))
            found.extend(bytes(max(0, end - len(found))))
            found[start:end] = now[start:end]
        # Its size may be known to the disk before its bytes are, or after them.
        return bytes(found[: dice.choice((len(now), len(found)))])

    def _path(self, fd: int) -> Path | None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        return path if path.is_relative_to(self._folder) else None

    def _wrote(self, fd: int, start: int, end: int) -> None:
        if self._path(fd) is not None:
            self._dirty.setdefault(os.fstat(fd).st_ino, []).append((start, end))

    def _write(self, real: Any) -> Any:
        def write(fd: int, data: bytes) -> int:
            count: int = real(fd, data)
            if stat.S_ISREG(os.fstat(fd).st_mode):
                end = os.fstat(fd).st_size  # all that is written so is appended
                self._wrote(fd, end - count, end)
            return count

        return write

    def _pwrite(self, real: Any) -> Any:
        def pwrite(fd: int, data: bytes, at: int) -> int:
            count: int = real(fd, data, at)
            self._wrote(fd, at, at + count)
            return count

        return pwrite

    def _ftruncate(self, real: Any) -> Any:
        def ftruncate(fd: int, size: int) -> None:
            real(fd, size)
            self._wrote(fd, size, size)

        return ftruncate

    def _fsync(self, real: Any) -> Any:
        def sync(fd: int) -> None:
            path, status = self._path(fd), os.fstat(fd)
            if path is None or not stat.S_ISREG(status.st_mode):
                real(fd)
                return
            self.syncs.append(path)
            dirty = self._dirty.pop(status.st_ino, None)
            if self.fails(path):
                raise OSError(5, "Input/output error")
            now = path.read_bytes()
            if status.st_ino not in self._kept and dirty is None:
                self._kept[status.st_ino] = bytearray(now)  # written by Python's own buffer
            kept = self._kept.setdefault(status.st_ino, bytearray())
            del kept[len(now) :]
            for start, end in dirty or ():
                kept.extend(bytes(max(0, min(end, len(now)) - len(kept))))
                kept[start : min(end, len(now))] = now[start:end]

        return sync

    _fdatasync = _fsync
