"""Changes of a file in its place: a crash leaves the old bytes or the new ones.

To write a long session anew for each edit would cost its length. So the end of the file, from
the first changed line on, is written over. What is to be written is put into `.turnkeep/edit`
and synced first; a crash in the middle is finished from there. The next edit of any session
takes its place, and before a file is removed or replaced it is cleared: see `release`.

All functions block, and are called with the session's lock held.
"""

from __future__ import annotations

import logging
import os
import struct
import threading
import zlib
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from ._disk import (
    UnsyncedError,
    checksum,
    close_file,
    make_folder,
    move_aside,
    open_file,
    read_part,
    reading,
    set_modified,
    sync_folder,
    write_at,
)
from ._lines import LONGEST_LINE
from ._names import session_file_named

logger: Final = logging.getLogger("turnkeep")

NAME: Final = "edit"
MAX_BYTES: Final = 1024 * 1024
"""The longest edit that is made in place; a longer one is written beside the file."""

LONGEST_EDIT: Final = LONGEST_LINE + MAX_BYTES
"""The most that an edit in place may write, which one turn of any length allows."""

LONGEST_NOTE: Final = LONGEST_EDIT + MAX_BYTES
"""A longer note is none of ours, and is not read."""

_MAGIC: Final = b"turnkeep edit 1\n"
_HEADER: Final = struct.Struct("<QQIIII")
_HEAD_BYTES: Final = len(_MAGIC) + _HEADER.size + 4


class Edit(NamedTuple):
    """The bytes that are to stand from `begin` to the end of a file that had `size` bytes."""

    path: Path
    size: int
    begin: int
    data: bytes
    left_over: int
    """A checksum of the old bytes behind the new end, if the file gets shorter."""

    @property
    def end(self) -> int:
        """The file's new size."""
        return self.begin + len(self.data)


class Edits:
    """The changes in place of one folder, one at a time."""

    def __init__(self, folder: Path, workplace: Path) -> None:
        self._folder = folder
        self._workplace = workplace
        self._path = workplace / NAME
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._noted: Edit | None = None
        """The edit that the disk may still have in `.turnkeep/edit`."""
        self._unfinished = False
        self._held = 0
        """So many bytes of `.turnkeep/edit` may not be zeros."""
        self._counts: dict[Path, int] = {}

    def settle(self) -> None:
        """Finish what a crash left unfinished; the folder is owned."""
        with suppress(FileNotFoundError), reading(self._path) as fd:
            size, noted = os.fstat(fd).st_size, _noted_bytes(os.pread(fd, _HEAD_BYTES, 0))
            if noted > LONGEST_NOTE:
                aside = move_aside(self._path)
                logger.error(
                    "%s: an edit of %d bytes is none of ours; nothing was changed, and it is set "
                    "aside in %s",
                    self._path,
                    noted,
                    aside.name,
                )
                return
            content = read_part(fd, 0, min(size, noted))
            edit = _decode(self._folder, content)
            if edit is not None:
                _redo(edit)
            if size > max(len(content), MAX_BYTES):
                os.truncate(self._path, len(content))  # none of it is of our making
            if content.strip(b"\0"):
                self._held = len(content)
                self._clear()

    def write(self, edit: Edit, old: bytes, written: datetime) -> None:
        """Change a file. Raises `OSError` if nothing was changed, else `UnsyncedError`."""
        with self._lock:
            self._finish()
            try:
                self._note(edit)
            except OSError:
                with suppress(OSError):  # none of it is needed, and the next note replaces it
                    self._clear()
                raise
            self._counts[edit.path] = self._counts.get(edit.path, 0) + 1
            try:
                self._apply(edit, old, written)
            finally:
                self._counts[edit.path] += 1
            with suppress(OSError):
                self._erase()

    def steady(self, path: Path) -> int:
        """Return the number of changes of a file, when none is under way.

        Who reads without the session's lock compares it with the number afterwards.
        """
        count = self._counts.get(path, 0)
        while count % 2:
            with self._lock:
                count = self._counts[path]
        return count

    def finish(self, path: Path) -> None:
        """Finish a change of this file that failed in its middle; `UnsyncedError` if it fails."""
        if self._unfinished:
            with self._lock:
                if self._noted is not None and self._noted.path == path:
                    try:
                        self._finish()
                    except OSError as error:
                        raise UnsyncedError(*error.args) from error

    def release(self, path: Path) -> None:
        """Forget a change of this file for good, before the file is removed or replaced."""
        with self._lock:
            if self._noted is not None and self._noted.path == path:
                self._finish()
                self._clear()

    def close(self) -> None:
        """Let go of the file; nothing in it is needed any more."""
        with self._lock:
            if self._unfinished:
                logger.error(
                    "%s: an edit is unfinished; the next opening of the folder ends it", self._path
                )
            elif self._noted is not None:
                with suppress(OSError):  # what is there was done, and is compared at opening
                    self._clear()
            if self._fd is not None:
                close_file(self._fd)
            self._fd, self._noted = None, None
            self._counts.clear()

    def _note(self, edit: Edit) -> None:
        name = os.fsencode(edit.path.relative_to(self._folder))
        body = zlib.crc32(edit.data, zlib.crc32(name))
        fields = edit.size, edit.begin, len(name), len(edit.data), edit.left_over, body
        head = _MAGIC + _HEADER.pack(*fields)
        note = head + struct.pack("<I", zlib.crc32(head)) + name + edit.data
        fd = self._open()
        self._noted, self._held = edit, max(self._held, len(note))
        write_at(fd, note, 0)
        os.fdatasync(fd)

    def _apply(self, edit: Edit, old: bytes, written: datetime) -> None:
        fd = open_file(edit.path, os.O_RDWR)
        try:
            try:
                _put(fd, edit)
            except OSError:
                self._unfinished = True
                write_at(fd, old, edit.begin)
                os.ftruncate(fd, edit.size)
                os.fdatasync(fd)
                self._clear()
                self._unfinished = False
                raise
            self._unfinished = True
            os.fdatasync(fd)
            self._unfinished = False
            set_modified(fd, written)
        except OSError as error:
            if self._unfinished:
                raise UnsyncedError(*error.args) from error
            raise
        finally:
            close_file(fd)

    def _finish(self) -> None:
        if self._unfinished and self._noted is not None:
            _redo(self._noted, again=True)
            self._unfinished = False

    def _erase(self) -> None:
        """Overwrite what is not needed any more; the next sync of it will do."""
        write_at(self._open(), bytes(self._held), 0)
        self._held = 0

    def _clear(self) -> None:
        """Overwrite the note, and wait until that is on the disk."""
        self._held = max(self._held, _HEAD_BYTES)
        self._erase()
        os.fdatasync(self._open())
        self._noted = None

    def _open(self) -> int:
        if self._fd is None:
            make_folder(self._workplace)
            self._fd = open_file(self._path, os.O_RDWR | os.O_CREAT)
            sync_folder(self._workplace)
        return self._fd


def _put(fd: int, edit: Edit) -> None:
    # What is new at the end comes first: where there is no space for it, nothing was changed.
    kept = max(0, min(len(edit.data), edit.size - edit.begin))
    if kept < len(edit.data):
        write_at(fd, edit.data[kept:], edit.begin + kept)
    elif edit.end < edit.size:
        os.ftruncate(fd, edit.end)
    write_at(fd, edit.data[:kept], edit.begin)


def _redo(edit: Edit, *, again: bool = False) -> None:
    """Do what an edit says, unless it was done; with `again`, write it in any case."""
    with suppress(FileNotFoundError):
        fd = open_file(edit.path, os.O_RDWR)
        try:
            size = os.fstat(fd).st_size
            if size < edit.begin:
                logger.error("%s: changed from outside; an edit is lost", edit.path)
                return
            there = read_part(fd, edit.begin, min(size, edit.end))
            if there != edit.data or again:
                write_at(fd, edit.data, edit.begin)
                os.ftruncate(fd, edit.end)
            elif size == edit.size > edit.end:
                # Only the new end may be missing, or as much was appended since.
                if size - edit.end > MAX_BYTES:
                    return  # no edit in place leaves more
                if checksum(fd, edit.end, size)[0] != edit.left_over:
                    return
                os.ftruncate(fd, edit.end)
            os.fdatasync(fd)
        finally:
            close_file(fd)


def _is_head(head: bytes) -> bool:
    """Return whether a note begins with these bytes."""
    if len(head) < _HEAD_BYTES or not head.startswith(_MAGIC):
        return False
    return struct.pack("<I", zlib.crc32(head[: _HEAD_BYTES - 4])) == head[_HEAD_BYTES - 4 :]


def _noted_bytes(head: bytes) -> int:
    """Return how long a note is that begins so, or how long what is none may be."""
    if not _is_head(head):
        return MAX_BYTES
    fields: tuple[int, ...] = _HEADER.unpack(head[len(_MAGIC) : _HEAD_BYTES - 4])
    return _HEAD_BYTES + fields[2] + fields[3]


def _decode(folder: Path, content: bytes) -> Edit | None:
    """Return the edit that was noted; None if there is none, or not as a whole."""
    head = content[: _HEAD_BYTES - 4]
    if not _is_head(content[:_HEAD_BYTES]):
        return None
    size, begin, name_bytes, data_bytes, left_over, body = _HEADER.unpack(head[len(_MAGIC) :])
    name = content[_HEAD_BYTES : _HEAD_BYTES + name_bytes]
    data = content[_HEAD_BYTES + name_bytes : _HEAD_BYTES + name_bytes + data_bytes]
    if zlib.crc32(data, zlib.crc32(name)) != body:
        return None
    path = session_file_named(folder, name)
    if path is None:
        logger.error("%.100r is no session's file; an edit of it is ignored", name)
        return None
    return Edit(path, size, begin, data, left_over)
