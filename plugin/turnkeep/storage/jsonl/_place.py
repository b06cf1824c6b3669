"""A session's file as it was read, and the name of one that has moved."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..._records.key import SessionKey
from ._disk import close_file, open_file


class FileChanged(Exception):  # noqa: N818 - not an error: the session is read again
    """The file is not as its session was read: someone else wrote, moved or removed it."""


@dataclass
class Alias:
    """The session has moved: `key` is what it is called now."""

    key: SessionKey


@dataclass(frozen=True)
class Place:
    """A file as it was read: so long, and the same one still."""

    path: Path
    size: int
    inode: int
    """0 if it was not there yet."""
    modified: int = 0
    """Its time of change once all is written, in nanoseconds; 0 if that is not known."""


@contextmanager
def reading_place(place: Place) -> Generator[int]:
    """Give a descriptor to read the file; `FileChanged` if it is another one, gone or shorter."""
    try:
        fd = open_file(place.path, os.O_RDONLY)
    except FileNotFoundError:
        raise FileChanged from None
    try:
        status = os.fstat(fd)
        if status.st_size < place.size or (place.inode and status.st_ino != place.inode):
            raise FileChanged
        yield fd
    finally:
        close_file(fd)
