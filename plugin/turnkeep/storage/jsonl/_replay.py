"""Replay: a journal's records are put back when the folder is next opened.

A folder may come from elsewhere, and its journal with it: see `replay`.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ._disk import (
    close_file,
    make_folder,
    open_file,
    read_part,
    reading,
    set_aside,
    sync_folder,
    write_at,
)
from ._journal import HEAD_BYTES, HEADER, MARK, NAME
from ._names import DAMAGED_SUFFIX, session_file_named
from ._sync import sync_files

logger: Final = logging.getLogger("turnkeep")

MAX_OFFSET: Final = 2**48


def replay(folder: Path, workplace: Path, names: Iterable[str]) -> None:
    """Give the files of a folder what they lack of the journal, and remove it.

    `names` are those of the files in `workplace`. A record that names no session's file is
    not of our making: it changes nothing, and its segment is set aside.
    """
    numbered = sorted(
        (int(name[len(NAME) :]), name)
        for name in names
        if name.startswith(NAME) and name[len(NAME) :].isdecimal()
    )
    segments = [workplace / name for _, name in numbered]
    if not segments:
        return
    added: dict[Path, list[tuple[int, bytes]]] = {}
    for segment in segments:
        refused: list[bytes] = []
        with reading(segment) as fd:
            for name, offset, data in records(fd):
                path = session_file_named(folder, name)
                if path is None or offset > MAX_OFFSET:
                    refused.append(name)
                else:
                    added.setdefault(path, []).append((offset, data))
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
    for path, pieces in added.items():
        _repair(path, pieces)
    sync_files(added, folder)
    for segment in segments:
        segment.unlink(missing_ok=True)
    sync_folder(workplace)


def records(fd: int) -> Iterator[tuple[bytes, int, bytes]]:
    """Give the whole records of a segment in the order in which they were written."""
    at, size = HEAD_BYTES, os.fstat(fd).st_size
    while at + HEADER.size <= size:
        head = os.pread(fd, HEADER.size, at)
        mark, offset, name_bytes, data_bytes, body, header = HEADER.unpack(head)
        if mark != MARK or zlib.crc32(head[:-4]) != header:
            return
        at += HEADER.size
        name = os.pread(fd, name_bytes, at)
        data = read_part(fd, at + name_bytes, min(size, at + name_bytes + data_bytes))
        at += name_bytes + data_bytes
        if zlib.crc32(data, zlib.crc32(name)) == body:  # else it was erased, or torn
            yield name, offset, data


def _repair(path: Path, pieces: Sequence[tuple[int, bytes]]) -> None:
    """Put bytes back into a file, or beside it if somebody else changed it.

    They are written though they are there: the kernel may have failed to write them before.
    """
    make_folder(path.parent)
    foreign: list[bytes] = []
    with suppress(FileNotFoundError):
        fd = open_file(path, os.O_RDWR | (0 if pieces[0][0] else os.O_CREAT))
        try:
            size = os.fstat(fd).st_size
            for offset, data in pieces:
                there = os.pread(fd, len(data), offset)
                # No line holds a zero, so that is what a file system has where it lost a block.
                own = there == data or all(a in (0, b) for a, b in zip(there, data, strict=False))
                if own and size >= offset:
                    write_at(fd, data, offset)
                    size = max(size, offset + len(data))
                else:
                    foreign.append(data)
        finally:
            close_file(fd)
        if not foreign:
            return
    foreign = foreign or [data for _, data in pieces]
    beside = path.with_suffix(DAMAGED_SUFFIX)
    logger.warning(
        "%s: changed from outside; %d bytes of the journal are set aside in %s",
        path,
        sum(map(len, foreign)),
        beside.name,
    )
    set_aside(beside, (line + b"\n" for line in b"".join(foreign).splitlines()))
