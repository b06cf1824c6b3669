"""Files and folders, made and replaced so that a crash leaves the old one or the new one.

A folder of sessions may come from elsewhere. So nothing here follows a symbolic link in the
place of a file, waits for a pipe, or reads a device: see `open_file`.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Final

from ._names import DAMAGED_SUFFIX

logger: Final = logging.getLogger("turnkeep")

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
MAX_SIDE_FILE_BYTES: Final = 64 * 1024
"""An alias or an intent is a line; what is longer is not read."""

_PIECE_BYTES: Final = 1024 * 1024

_SAFE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
_LAST_MICROSECOND: Final = 253_402_300_799_000_000
"""The end of the year 9999, behind which `datetime` has no time."""


class UnsyncedError(OSError):
    """The change is made, but it could not be synced: a power cut may take it back."""


class IrregularFileError(OSError):
    """A symbolic link, a pipe, a device or a folder is in the place of a file, or of a folder."""

    def __init__(self, path: Path, kind: str = "regular file") -> None:
        super().__init__(f"{path} is no {kind}: move it away")


def open_folder(folder: Path) -> int:
    """Return a descriptor of a folder; raises `IrregularFileError` for a link to one."""
    try:
        return os.open(folder, _FOLDER)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise IrregularFileError(folder, "folder") from error
        raise


def open_file(path: Path, flags: int) -> int:
    """Return a descriptor of a regular file in one of our folders.

    Raises `IrregularFileError` for anything else, and where the folder is a link.
    """
    folder = open_folder(path.parent)
    try:
        fd = os.open(path.name, flags | _SAFE, FILE_MODE, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise IrregularFileError(path) from error
        error.filename = str(path)  # not only its name
        raise
    finally:
        close_file(folder)
    regular = False
    try:
        regular = stat.S_ISREG(os.fstat(fd).st_mode)
    finally:
        if not regular:
            close_file(fd)
    if not regular:
        raise IrregularFileError(path)
    return fd


def is_shortage(error: BaseException) -> bool:
    """Return whether an error says that there is no descriptor left."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def close_file(fd: int) -> None:
    """Close a descriptor. What was written to it was checked before, so a failure is logged."""
    try:
        os.close(fd)
    except OSError as error:
        logger.warning("a file could not be closed (%s); what was acknowledged was written", error)


def modified_at(status: os.stat_result) -> datetime:
    """Return when a file was last written, in UTC."""
    return datetime.fromtimestamp(modified_microseconds(status) / 1e6, timezone.utc)


def modified_microseconds(status: os.stat_result) -> int:
    """Return the same in microseconds since 1970, within the years that `datetime` has."""
    return max(0, min(status.st_mtime_ns // 1000, _LAST_MICROSECOND))


def set_modified(fd: int, written: datetime) -> int:
    """Set when a file was last written, with our mark; return it, or 0 if that can't be set.

    A list of sessions is in the order of these times. See `is_marked`.
    """
    nanoseconds = marked_time(written)
    try:
        os.utime(fd, ns=(nanoseconds, nanoseconds))
    except OSError:
        return 0  # the file is somebody else's: its time is that of the write
    return nanoseconds


def is_marked(status: os.stat_result) -> bool:
    """Return whether a file's time of change is one that we gave it.

    The nanoseconds are a checksum of the microseconds. A copy without times, an editor or
    `touch` sets others, and then the file itself is asked when it was written.
    """
    return status.st_mtime_ns == _marked(status.st_mtime_ns // 1000)


def marked_time(written: datetime) -> int:
    """Return the time of change that `set_modified` gives, in nanoseconds since 1970."""
    return _marked(round(written.timestamp() * 1_000_000))


def _marked(microseconds: int) -> int:
    return microseconds * 1000 + 1 + microseconds % 997


def make_folder(folder: Path) -> bool:
    """Make a folder of ours, which nobody else may look into; False if it is there."""
    try:
        folder.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        return False
    return True


def make_folders(folder: Path) -> None:
    """Make a folder of ours with those above it, so that its name survives the machine."""
    above = folder.parent
    if not above.is_dir():
        make_folders(above)
    if make_folder(folder):
        sync_folder(above)


def remove(file: Path) -> bool:
    """Remove a file; False if there was none."""
    if not os.path.lexists(file):
        return False
    file.unlink()
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive the machine."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        close_file(fd)


unsynced: Final[set[Path]] = set()
"""Folders of this process in which names were changed, and that could not be synced yet."""


def sync_changed(folders: Iterable[Path]) -> None:
    """Sync folders in which names were changed; raises `UnsyncedError` if it can't."""
    changed = {*folders}
    unsynced.update(changed)
    try:
        for folder in changed:
            sync_folder(folder)
            unsynced.discard(folder)
    except OSError as error:
        raise UnsyncedError(*error.args) from error


def write_all(fd: int, data: bytes) -> None:
    """Write all of it: `os.write` may take less than it is given."""
    written = 0
    while written < len(data):
        written += os.write(fd, data[written:] if written else data)


def write_at(fd: int, data: bytes, at: int) -> None:
    """Write all of it at this offset: `os.pwrite` may take less than it is given."""
    written = os.pwrite(fd, data, at)
    while written < len(data):
        written += os.pwrite(fd, data[written:], at + written)


@contextmanager
def reading(path: Path) -> Generator[int]:
    """Give a descriptor to read the file."""
    fd = open_file(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        close_file(fd)


def read_side_file(path: Path) -> bytes:
    """Return what a small file of ours holds, `MAX_SIDE_FILE_BYTES` of it at most."""
    with reading(path) as fd:
        return os.pread(fd, MAX_SIDE_FILE_BYTES, 0)


@contextmanager
def writing_anew(
    path: Path, workplace: Path, written: datetime | None = None
) -> Generator[IO[bytes]]:
    """Give a file that takes the place of `path`, whole and synced, if the block succeeds.

    `written` is to be its time of change. Raises `UnsyncedError` where it is in place, and the
    folder could not be synced.
    """
    beside = workplace / f"{os.getpid()}-{id(path):x}.tmp"
    make_folder(workplace)  # somebody may have removed it
    try:
        with open(beside, "wb", opener=_open_new) as file:
            yield file
            file.flush()
            if written is not None:
                set_modified(file.fileno(), written)
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:  # a failed write, or Ctrl-C, leaves no file behind
        beside.unlink(missing_ok=True)
        raise
    # What is appended next is synced in the new file, so its name must hold too.
    sync_changed([path.parent])


def _open_new(name: str, _: int) -> int:
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)


def move_aside(path: Path) -> Path:
    """Give a file that is not of our making another name, which no earlier one has; return it.

    It is not copied: it may be of holes, which take space where they are written.
    """
    number = 1
    aside = path.with_name(f"{path.name}{DAMAGED_SUFFIX}")
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.name}-{number}{DAMAGED_SUFFIX}")
    path.rename(aside)
    return aside


def set_aside(beside: Path, pieces: Iterable[bytes]) -> None:
    """Add what can't be read to the file that keeps it: whole lines with their line feeds."""
    fd = open_file(beside, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        size = os.fstat(fd).st_size
        try:
            for piece in pieces:
                write_all(fd, piece)
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, size)
            raise
    finally:
        close_file(fd)


def read_part(fd: int, start: int, end: int) -> bytes:
    """Return a part of a file."""
    data = os.pread(fd, end - start, start)
    while start + len(data) < end and (
        more := os.pread(fd, end - start - len(data), start + len(data))
    ):
        data += more
    return data


def checksum(fd: int, start: int, end: int, value: int = 0) -> tuple[int, bool]:
    """Return the CRC-32 of a part of a file, which goes on from `value`; True if it has zeros."""
    zeros = False
    for piece in pieces_of(fd, start, end):
        value = zlib.crc32(piece, value)
        zeros = zeros or b"\0" in piece
    return value, zeros


def copy_bytes(source: int, target: IO[bytes], start: int, end: int) -> None:
    """Copy a part of a file."""
    target.writelines(pieces_of(source, start, end))


def pieces_of(fd: int, start: int, end: int) -> Iterator[bytes]:
    """Give a part of a file, however large, in pieces."""
    while start < end and (data := os.pread(fd, min(_PIECE_BYTES, end - start), start)):
        yield data
        start += len(data)


def data_of(fd: int, start: int, end: int) -> Iterator[bytes]:
    """Give the same without the holes that a file has, which may be longer than any disk."""
    while start < end:
        try:
            begin = os.lseek(fd, start, os.SEEK_DATA)
            stop = os.lseek(fd, begin, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # there is nothing but a hole
            begin, stop = start, end  # this file system does not tell
        yield from pieces_of(fd, begin, min(stop, end))
        start = stop
