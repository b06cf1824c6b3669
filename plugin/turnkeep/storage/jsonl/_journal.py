"""The journal: one sync for all that many sessions were just told.

A sync costs as much as hundreds of writes, and a file for each session would be a sync for
each. So with `durability="disk"` a batch for several files is written to them as ever, and
then to this one, which alone is synced. The sessions' own files are synced later, many
together, and what the journal had of them is removed. After the machine died, what a file
lacks is taken from there when the folder is next opened.

A journal is a few segments, `.turnkeep/journal-N`: a head that names the boot of the machine,
and records, each of which says what stands at which place of which file. What is erased from
a session's file is erased here too: see `release`.
"""

from __future__ import annotations

import logging
import os
import struct
import threading
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from ._disk import (
    FILE_MODE,
    close_file,
    make_folder,
    open_file,
    reading,
    set_aside,
    sync_folder,
    write_at,
)
from ._names import DAMAGED_SUFFIX, is_session_file

logger: Final = logging.getLogger("turnkeep")

SEGMENT_BYTES: Final = 32 * 1024 * 1024
GROWN_BYTES: Final = 1024 * 1024
"""A segment grows by so many zeros, since a sync of what lies within a file is the cheapest."""

_NAME: Final = "journal-"
_MAGIC: Final = b"turnkeep journal 1\n"
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_HEAD_BYTES: Final = 64
_HEADER: Final = struct.Struct("<4sQHIII")
"""A mark, the offset in the file, the lengths of its name and of the data, and two checksums:
of these two, and of all before. So a record whose body was erased does not end the journal."""
_MARK: Final = b"\xfeTK\n"


class Added(NamedTuple):
    """Bytes that were added to a file, and where in it."""

    path: Path
    offset: int
    data: bytes


class Journal:
    """The journal of one folder. `write` belongs to one thread; the rest may be on any."""

    def __init__(self, folder: Path, workplace: Path) -> None:
        self._folder = folder
        self._workplace = workplace
        self._lock = threading.Lock()
        self._current: _Segment | None = None
        self._older: list[_Segment] = []
        self._syncing: threading.Thread | None = None
        self._number = 0

    def write(self, batch: Sequence[Added]) -> None:
        """Make what was added survive the machine. If it raises, none of it is promised."""
        with self._lock:
            if self._current is None:
                self._number += 1
                self._current = _Segment(self._workplace, self._number, self._folder)
            segment = self._current
            start = segment.end
            try:
                segment.add(batch)
            except OSError:
                segment.cut_back(start)
                raise
        try:
            os.fdatasync(segment.fd)
        except OSError:
            # What is on the disk of it now is anyone's guess: begin another one.
            with self._lock:
                segment.cut_back(start)
                self._leave(segment)
            raise
        if segment.end >= SEGMENT_BYTES:
            with self._lock:
                self._leave(segment)

    def release(self, path: Path) -> None:
        """Make a file survive by itself, and erase what is here of it.

        Before it is written anew or removed: else what was taken away would still be here,
        and come back after a crash.
        """
        with self._lock:
            there = [segment for segment in self._segments() if path in segment.places]
            if there:
                _sync([path])
            for segment in there:
                segment.erase(path)

    def close(self) -> None:
        """Sync all files that are named here, and remove the journal. Blocks."""
        with self._lock:
            if self._current is not None:
                self._leave(self._current, sync=False)
        while (thread := self._syncing) is not None:
            thread.join()
        self._settle()
        for segment in self._older:  # those that could not be synced
            close_file(segment.fd)
        self._older = []

    def _segments(self) -> list[_Segment]:
        return [*self._older, self._current] if self._current is not None else self._older

    def _leave(self, segment: _Segment, *, sync: bool = True) -> None:
        """Write to this segment no more, and have the files that it names synced."""
        self._older.append(segment)
        self._current = None
        if sync and self._syncing is None:
            self._syncing = threading.Thread(
                target=self._settle, name="turnkeep-jsonl-sync", daemon=True
            )
            self._syncing.start()

    def _settle(self) -> None:
        """Sync the files of the older segments, and remove these."""
        while True:
            with self._lock:
                older = self._older.copy()
                paths = {path for segment in older for path in segment.places}
                if not older:
                    self._syncing = None
                    return
            try:
                _sync(paths)
                with self._lock:
                    for segment in older:
                        segment.path.unlink(missing_ok=True)
                    # Else a crash could bring back what is changed in a file from now on.
                    sync_folder(self._workplace)
                    for segment in older:
                        close_file(segment.fd)
                        self._older.remove(segment)
            except OSError as error:
                logger.error(
                    "%s: files could not be synced (%s); what was appended stays in the "
                    "journal, and they are when the folder is next closed or opened",
                    self._folder,
                    error,
                )
                with self._lock:
                    self._syncing = None
                return


class _Segment:
    """One file of the journal, and where in it the records of each session's file begin."""

    def __init__(self, workplace: Path, number: int, folder: Path) -> None:
        self.path = workplace / f"{_NAME}{number}"
        self.places: dict[Path, array[int]] = {}
        self._folder = folder
        self._names: dict[Path, bytes] = {}
        self.end = _HEAD_BYTES
        self._size = 0
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            self._write(_head(), 0)
            sync_folder(workplace)
        except OSError:
            self.path.unlink()
            os.close(self.fd)
            raise

    def add(self, batch: Sequence[Added]) -> None:
        records: list[bytes] = []
        end = self.end
        for path, offset, data in batch:
            name = self._names.get(path)
            if name is None:
                name = self._names[path] = os.fsencode(path.relative_to(self._folder))
            body = zlib.crc32(data, zlib.crc32(name))
            header = _HEADER.pack(_MARK, offset, len(name), len(data), body, 0)[:-4]
            records += (header, struct.pack("<I", zlib.crc32(header)), name, data)
            self.places.setdefault(path, array("Q")).append(end)
            end += _HEADER.size + len(name) + len(data)
        self._write(b"".join(records), self.end)
        self.end = end

    def _write(self, data: bytes, at: int) -> None:
        while at + len(data) > self._size:
            write_at(self.fd, bytes(GROWN_BYTES), self._size)
            self._size += GROWN_BYTES
        write_at(self.fd, data, at)

    def cut_back(self, end: int) -> None:
        """Take away what stands behind `end`, of a batch that was not promised."""
        for offsets in self.places.values():
            while offsets and offsets[-1] >= end:
                offsets.pop()
        self.end = end
        with suppress(OSError):
            write_at(self.fd, bytes(_HEADER.size), end)

    def erase(self, path: Path) -> None:
        """Overwrite what is here of a file, and wait until that is on the disk."""
        for offset in self.places[path]:
            _, _, name, data, _, _ = _HEADER.unpack(os.pread(self.fd, _HEADER.size, offset))
            write_at(self.fd, bytes(name + data), offset + _HEADER.size)
        os.fdatasync(self.fd)
        del self.places[path]


def replay(folder: Path, workplace: Path, names: Iterable[str]) -> None:
    """Give the files of a folder what they lack of the journal, and remove it.

    `names` are those of the files in `workplace`. A record that names no session's file is
    not of our making: it changes nothing, and its segment is set aside.
    """
    numbers = [
        name[len(_NAME) :]
        for name in names
        if name.startswith(_NAME) and name[len(_NAME) :].isdecimal()
    ]
    segments = [workplace / f"{_NAME}{number}" for number in sorted(map(int, numbers))]
    if not segments:
        return
    paths: set[Path] = set()
    for segment in segments:
        with reading(segment) as fd:
            content = os.pread(fd, os.fstat(fd).st_size, 0)
        # As long as the machine is up, all that was written is in the files.
        lost = not _boot() or not content.startswith(_head())
        refused: list[bytes] = []
        for name, offset, data in _records(content):
            path = _path_named(folder, name)
            if path is None:
                refused.append(name)
                continue
            paths.add(path)
            if lost:
                _repair(Added(path, offset, data))
        if refused:
            aside = segment.with_suffix(DAMAGED_SUFFIX)
            logger.error(
                "%s: names files that are no sessions of this folder (%d records, %.100r first); "
                "nothing was written to them, and the journal is set aside in %s",
                segment,
                len(refused),
                refused[0],
                aside.name,
            )
            segment.replace(aside)
    _sync(paths)
    for segment in segments:
        segment.unlink(missing_ok=True)
    sync_folder(workplace)


def _records(content: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Give the whole records of a segment in the order in which they were written."""
    at = _HEAD_BYTES
    while at + _HEADER.size <= len(content):
        mark, offset, name_bytes, data_bytes, body, header = _HEADER.unpack_from(content, at)
        if mark != _MARK or zlib.crc32(content[at : at + _HEADER.size - 4]) != header:
            return
        at += _HEADER.size
        name = content[at : at + name_bytes]
        data = content[at + name_bytes : at + name_bytes + data_bytes]
        at += name_bytes + data_bytes
        if zlib.crc32(data, zlib.crc32(name)) == body:  # else it was erased, or torn
            yield name, offset, data


def _path_named(folder: Path, name: bytes) -> Path | None:
    """Return the session's file that a record names, below the folder; else None."""
    channel, slash, file = os.fsdecode(name).partition("/")
    path = folder / channel / file
    return (
        path if slash and is_session_file(channel, file) and not path.parent.is_symlink() else None
    )


def _repair(added: Added) -> None:
    """Put the bytes back if the file lost them, or beside it if somebody else changed it."""
    path, offset, data = added
    make_folder(path.parent)
    new = 0 if offset else os.O_CREAT
    with suppress(FileNotFoundError):
        fd = open_file(path, os.O_RDWR | new)
        try:
            size = os.fstat(fd).st_size
            there = os.pread(fd, len(data), offset)
            # No line holds a zero, so that is what a file system has where it lost a block.
            own = all(a in (0, b) for a, b in zip(there, data, strict=False))
            if own and size >= offset:
                if there != data:
                    write_at(fd, data, offset)
                return
        finally:
            os.close(fd)
    beside = path.with_suffix(DAMAGED_SUFFIX)
    logger.warning(
        "%s: changed from outside; %d bytes of the journal are set aside in %s",
        path,
        len(data),
        beside.name,
    )
    set_aside(beside, data.splitlines())


def _sync(paths: Iterable[Path]) -> None:
    """Sync files that are still there, and the folders that they are in."""
    folders: set[Path] = set()
    for path in paths:
        try:
            fd = open_file(path, os.O_RDONLY)
        except FileNotFoundError:
            continue  # it was removed, which `release` was told before
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)
        folders |= {path.parent, path.parent.parent}
    for folder in folders:
        sync_folder(folder)


def _head() -> bytes:
    return (_MAGIC + _boot()).ljust(_HEAD_BYTES, b"\0")


def _boot() -> bytes:
    """Return the identifier of this boot, or no bytes if the system has none."""
    try:
        return _BOOT.read_bytes().strip()
    except OSError:
        return b""
