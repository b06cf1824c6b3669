"""Replay: a journal's records are put back when the folder is next opened.

A folder may come from elsewhere, and its journal with it: see `replay`.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, groupby
from pathlib import Path
from typing import Final, NamedTuple

from ._disk import (
    checksum,
    close_file,
    make_folder,
    move_aside,
    open_file,
    read_part,
    reading,
    set_aside,
    sync_folder,
    write_at,
)
from ._journal import HEAD_BYTES, HEADER, LONGEST_RECORD, MARK, NAME
from ._lines import NO_ZEROS
from ._names import DAMAGED_SUFFIX, session_file_named
from ._sync import sync_files

logger: Final = logging.getLogger("turnkeep")

MAX_OFFSET: Final = 2**48


class Record(NamedTuple):
    """A record of a segment: `size` bytes, at `at` in it, that belong at `offset` of a file."""

    segment: Path
    name: bytes
    offset: int
    at: int
    size: int
    sound: bool
    """It is not longer than any of ours, and has no zeros: no line does."""


def replay(folder: Path, workplace: Path, names: Iterable[str]) -> None:
    """Give the files of a folder what they lack of the journal, and remove it.

    `names` are those of the files in `workplace`. A record that names no session's file, or can't
    be of our making, changes nothing, and its segment is set aside. One record at a time is in
    memory.
    """
    numbered = sorted(
        (int(name[len(NAME) :]), name)
        for name in names
        if name.startswith(NAME) and name[len(NAME) :].isdecimal()
    )
    segments = [workplace / name for _, name in numbered]
    if not segments:
        return
    added: dict[Path, list[Record]] = {}
    refused: dict[Path, list[Record]] = {}
    for segment in segments:
        with reading(segment) as fd:
            for record in records(fd, segment):
                path = session_file_named(folder, record.name)
                if path is None or record.offset > MAX_OFFSET or not record.sound:
                    refused.setdefault(segment, []).append(record)
                else:
                    added.setdefault(path, []).append(record)
    for path, ours in added.items():
        _repair(path, ours)
    sync_files(added, folder)
    for segment in segments:
        if segment in refused:
            _set_aside(segment, refused[segment], added.values())
        else:
            segment.unlink(missing_ok=True)
    sync_folder(workplace)


def records(fd: int, segment: Path) -> Iterator[Record]:
    """Give the whole records of a segment in the order in which they were written.

    What a record that is too long holds is not looked at.
    """
    at, size = HEAD_BYTES, os.fstat(fd).st_size
    while at + HEADER.size <= size:
        head = os.pread(fd, HEADER.size, at)
        mark, offset, name_bytes, data_bytes, body, header = HEADER.unpack(head)
        if mark != MARK or zlib.crc32(head[:-4]) != header:
            return
        name = os.pread(fd, name_bytes, at + HEADER.size)
        begin = at + HEADER.size + name_bytes
        at = begin + data_bytes
        if data_bytes > LONGEST_RECORD:
            yield Record(segment, name, offset, begin, data_bytes, False)
            continue
        found, zeros = checksum(fd, begin, min(size, at), zlib.crc32(name))
        if found == body:  # else it was erased, or torn
            yield Record(segment, name, offset, begin, data_bytes, not zeros)


def _set_aside(
    segment: Path, refused: Sequence[Record], applied: Iterable[Iterable[Record]]
) -> None:
    """Keep a segment for its records that are none of ours; those that are, are erased there."""
    fd = open_file(segment, os.O_RDWR)
    try:
        for record in chain.from_iterable(applied):
            if record.segment == segment:
                write_at(fd, bytes(record.size), record.at)
        os.fdatasync(fd)
    finally:
        close_file(fd)
    aside = move_aside(segment)
    logger.error(
        "%s: names files that are no sessions of this folder, or has records that hold no lines "
        "(%d records, %.100r first); nothing was written to them, and the journal is set aside in "
        "%s",
        segment,
        len(refused),
        refused[0].name,
        aside.name,
    )


def _data(several: Iterable[Record]) -> Iterator[tuple[Record, bytes]]:
    """Give records with what they hold, one at a time."""
    for segment, ours in groupby(several, key=lambda record: record.segment):
        with reading(segment) as fd:
            for record in ours:
                yield record, read_part(fd, record.at, record.at + record.size)


def _repair(path: Path, ours: Sequence[Record]) -> None:
    """Put bytes back into a file, or beside it if somebody else changed it.

    They are written though they are there: the kernel may have failed to write them before.
    """
    make_folder(path.parent)
    foreign: list[Record] = []
    with suppress(FileNotFoundError):
        fd = open_file(path, os.O_RDWR | (0 if ours[0].offset else os.O_CREAT))
        try:
            size = os.fstat(fd).st_size
            for record, data in _data(ours):
                offset = record.offset
                if size >= offset and _is_own(os.pread(fd, len(data), offset), data):
                    write_at(fd, data, offset)
                    size = max(size, offset + len(data))
                else:
                    foreign.append(record)
        finally:
            close_file(fd)
        if not foreign:
            return
    foreign = foreign or [*ours]
    beside = path.with_suffix(DAMAGED_SUFFIX)
    logger.warning(
        "%s: changed from outside; %d bytes of the journal are set aside in %s",
        path,
        sum(record.size for record in foreign),
        beside.name,
    )
    set_aside(beside, (_ended(data) for _, data in _data(foreign)))


def _is_own(there: bytes, data: bytes) -> bool:
    """Return whether a file has what was written to it, as far as it was not lost.

    No line holds a zero, so that is what a file system has where it lost a block.
    """
    return there == data or all(
        data.startswith(run[0], run.start()) for run in NO_ZEROS.finditer(there)
    )


def _ended(data: bytes) -> bytes:
    return data if data.endswith(b"\n") else data + b"\n"
