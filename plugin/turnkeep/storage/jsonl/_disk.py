"""Files and folders, made and replaced so that a crash leaves the old one or the new one."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700


def make_folder(folder: Path) -> bool:
    """Makes a folder of ours, which nobody else may look into; False if it is there."""
    try:
        folder.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        return False
    return True


def make_folders(folder: Path) -> None:
    """Makes a folder of ours with those above it, so that its name survives the machine."""
    above = folder.parent
    if not above.is_dir():
        make_folders(above)
    if make_folder(folder):
        sync_folder(above)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive the machine."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """`os.write` may take less than it is given."""
    written = 0
    while written < len(data):
        written += os.write(fd, data[written:] if written else data)


@contextmanager
def reading(path: Path) -> Generator[int]:
    """A descriptor to read the file."""
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def writing_anew(path: Path, workplace: Path) -> Generator[IO[bytes]]:
    """A file that takes the place of `path`, whole and synced, if the block succeeds."""
    beside = workplace / f"{os.getpid()}-{id(path):x}.tmp"
    try:
        with open(beside, "wb", opener=_open_new) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    # What is appended next is synced in the new file, so its name must hold too.
    sync_folder(path.parent)


def _open_new(name: str, _: int) -> int:
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)


def set_aside(beside: Path, lines: Sequence[bytes]) -> None:
    """Adds what can't be read to the file that keeps it, one line each."""
    if not lines:
        return
    fd = os.open(beside, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
    try:
        size = os.fstat(fd).st_size
        try:
            write_all(fd, b"".join(line + b"\n" for line in lines))
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, size)
            raise
    finally:
        os.close(fd)


def lines_set_aside(beside: Path) -> list[bytes]:
    """What was set aside in this file."""
    try:
        return beside.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []


def copy_bytes(source: int, target: IO[bytes], start: int, end: int) -> None:
    """Copies a part of a file."""
    while start < end:
        data = os.pread(source, min(1024 * 1024, end - start), start)
        if not data:
            return
        target.write(data)
        start += len(data)
