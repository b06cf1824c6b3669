"""The journal: one sync for all that many sessions were just told.

A sync costs as much as hundreds of writes, and a file for each session would be a sync for
each. So with `durability="disk"` a batch for several files is written to them as ever, and
then to this one, which alone is synced. The sessions' own files are synced later, many
together, and what the journal had of them is removed. After the machine died, what a file
lacks is taken from there when the folder is next opened.

A journal is a few segments, `.turnkeep/journal-N`: a head, and records, each of which says what
stands at which place of which file. What is erased from a session's file is erased here too: see
`release`.

A file whose sync failed is not believed by the next sync that succeeds, since the kernel may have
dropped what it could not write. Its bytes are written again from the journal first.
"""

from __future__ import annotations

import logging
import os
import struct
import threading
import zlib
from array import array
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from ._disk import FILE_MODE, close_file, make_folder, open_file, sync_folder, write_at
from ._lines import LONGEST_LINE
from ._sync import sync_files

logger: Final = logging.getLogger("turnkeep")

SEGMENT_BYTES: Final = 32 * 1024 * 1024
GROWN_BYTES: Final = 1024 * 1024
"""A segment grows by so many zeros, since a sync of what lies within a file is the cheapest."""

LONGEST_RECORD: Final = LONGEST_LINE + 64 * 1024
"""What is longer is put into several records, of whole lines each: one is read at a time."""

NAME: Final = "journal-"
_MAGIC: Final = b"turnkeep journal 1\n"
HEAD_BYTES: Final = 64
HEADER: Final = struct.Struct("<4sQHIII")
"""A mark, the offset in the file, the lengths of its name and of the data, and two checksums:
of these two, and of all before. So a record whose body was erased does not end the journal."""
MARK: Final = b"\xfeTK\n"


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
        self._doubtful: set[Path] = set()
        """Files whose last sync failed."""

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
                self._sync([path], there)
            for segment in there:
                segment.erase(path)

    def doubt(self, path: Path) -> None:
        """Take note that a sync of this file failed."""
        with self._lock:
            self._doubtful.add(path)

    def restore(self, path: Path) -> None:
        """Write again what is here of a file."""
        with self._lock:
            self._restore(path, self._segments())

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

    def _sync(self, paths: Collection[Path], segments: Sequence[_Segment]) -> None:
        """Sync files; those whose last sync failed are written again from these segments first."""
        doubtful = self._doubtful.intersection(paths)
        for path in doubtful:
            self._restore(path, segments)
        try:
            sync_files(paths, self._folder)
        except OSError:
            self._doubtful.update(paths)
            raise
        self._doubtful -= doubtful

    def _restore(self, path: Path, segments: Sequence[_Segment]) -> None:
        with suppress(FileNotFoundError):
            fd = open_file(path, os.O_WRONLY)
            try:
                times = os.fstat(fd)
                for segment in segments:
                    for offset, data in segment.data_of(path):
                        write_at(fd, data, offset)
                os.utime(fd, ns=(times.st_atime_ns, times.st_mtime_ns))  # nothing was said
            finally:
                close_file(fd)

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
                self._sync(paths, older)
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
                    "%s: files could not be synced (%s); the journal keeps what was appended, and "
                    "the next closing or opening of the folder syncs them",
                    self._folder,
                    error,
                )
                with self._lock:
                    self._syncing = None
                return


class _Segment:
    """One file of the journal, and where in it the records of each session's file begin."""

    def __init__(self, workplace: Path, number: int, folder: Path) -> None:
        self.path = workplace / f"{NAME}{number}"
        self.places: dict[Path, array[int]] = {}
        self._folder = folder
        self._names: dict[Path, bytes] = {}
        self.end = HEAD_BYTES
        self._size = 0
        make_folder(workplace)  # somebody may have removed it
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            self._write(_MAGIC.ljust(HEAD_BYTES, b"\0"), 0)
            sync_folder(workplace)
        except OSError:
            self.path.unlink()
            close_file(self.fd)
            raise

    def add(self, batch: Sequence[Added]) -> None:
        records: list[bytes] = []
        end = self.end
        for path, offset, data in batch:
            name = self._names.get(path)
            if name is None:
                name = self._names[path] = os.fsencode(path.relative_to(self._folder))
            places = self.places.setdefault(path, array("Q"))
            for start, part in _parts(data):
                body = zlib.crc32(part, zlib.crc32(name))
                header = HEADER.pack(MARK, offset + start, len(name), len(part), body, 0)[:-4]
                records += (header, struct.pack("<I", zlib.crc32(header)), name, part)
                places.append(end)
                end += HEADER.size + len(name) + len(part)
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
            write_at(self.fd, bytes(HEADER.size), end)

    def data_of(self, path: Path) -> Iterator[tuple[int, bytes]]:
        """Give the offset and the bytes of each record of a file."""
        for at in self.places.get(path, ()):
            _, offset, name, data, _, _ = HEADER.unpack(os.pread(self.fd, HEADER.size, at))
            yield offset, os.pread(self.fd, data, at + HEADER.size + name)

    def erase(self, path: Path) -> None:
        """Overwrite what is here of a file, and wait until that is on the disk."""
        for offset in self.places[path]:
            _, _, name, data, _, _ = HEADER.unpack(os.pread(self.fd, HEADER.size, offset))
            write_at(self.fd, bytes(name + data), offset + HEADER.size)
        os.fdatasync(self.fd)
        del self.places[path]


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give lines in parts that a record may have, each with its place among them."""
    start = 0
    while len(data) - start > LONGEST_RECORD:
        end = data.rfind(b"\n", start, start + LONGEST_RECORD) + 1
        yield start, data[start:end]
        start = end
    yield start, data[start:] if start else data
