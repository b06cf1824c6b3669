"""Reading a session's file from its end, and finding a place in its middle.

Opening a long chat must cost its window and not its length, so nothing here reads a file
from its beginning: the tail is read backwards in blocks until it has what is asked for,
and a turn in the middle is found by bisection, since ids ascend.

All functions block; they run on worker threads, on a descriptor opened for reading.
"""

from __future__ import annotations

import mmap
import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from itertools import pairwise
from typing import Final

import msgspec

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import SessionInfo
from ._lines import DAMAGED, Damaged, MetadataLine, decode_line, is_unfinished

BLOCK: Final = 64 * 1024
PROBE: Final = 4 * 1024

_Read = Callable[[int, int], bytes]
"""Gives so many bytes from this offset on."""


@dataclass
class Tail:
    """The end of a file: its newest turns, ascending, and the record."""

    turns: list[Turn] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)
    """Bytes of each turn's line."""
    info: SessionInfo | None = None
    inode: int = 0
    complete: bool = False
    """There are no turns before these."""
    size: int = 0
    """Bytes of the file up to the end of its last whole line."""
    torn: bytes = b""
    """What stands behind that: the beginning of an append whose writer died."""
    unended: bool = False
    """The last line, whole otherwise, lacks its line feed; it is counted in `size`."""
    unmended: bool = False
    """The file can't be added to: its end could not be made whole."""
    since_metadata: int = 0
    """Bytes behind the last metadata line."""
    damaged: list[int] = field(default_factory=list)
    """Offsets of damaged lines."""
    met: int = 0
    """How many places are damaged, those that were set aside too."""


def read_tail(fd: int, key: SessionKey, *, limit: int) -> Tail:
    """At least the newest `limit` turns (fewer if there are fewer)."""
    stat = os.fstat(fd)
    tail = Tail(inode=stat.st_ino)
    read = _end_at_hand(fd, stat.st_size)
    tail.size, tail.torn = _split_torn(read, stat.st_size)
    if tail.torn and isinstance(decode_line(tail.torn), (Turn, MetadataLine)):
        tail.size, tail.torn, tail.unended = stat.st_size, b"", True
    whole = _finished(read, tail.size)
    if whole < tail.size:
        tail.torn = read(stat.st_size - whole, whole)
        tail.size, tail.unended = whole, False
    newest_first: list[tuple[Turn, int, int]] = []  # and where its line begins, and its length
    record: MetadataLine | None = None
    behind_record = 0
    for start, line in _backward(read, tail.size):
        if record is not None and len(newest_first) >= limit:
            break
        found = decode_line(line)
        if isinstance(found, Turn):
            newest_first.append((found, start, len(line) + 1))
        elif isinstance(found, MetadataLine) and record is None:
            record = found
            behind_record = start + len(line) + 1
            tail.since_metadata = tail.size - behind_record
        elif found is DAMAGED:
            tail.damaged.append(start)
    else:
        tail.complete = True
    placed, misplaced = _ascending(newest_first[::-1])
    tail.damaged += misplaced
    tail.turns = [turn for turn, _, _ in placed]
    tail.weights = [length for _, _, length in placed]
    if record is not None:
        counted = sum(start >= behind_record for _, start, _ in placed)
        tail.info = _carried_on(record.info(key), tail.turns, counted)
    elif tail.turns:
        tail.since_metadata = tail.size
        tail.info = SessionInfo(
            key=key,
            created_at=tail.turns[0].time,
            updated_at=tail.turns[-1].time,
            turns=len(tail.turns),
            last_id=tail.turns[-1].id,
            epoch=tail.turns[-1].epoch,
        )
    if tail.info is not None:
        written = datetime.fromtimestamp(stat.st_mtime_ns // 1000 / 1e6, timezone.utc)
        tail.info = msgspec.structs.replace(tail.info, updated_at=written)
    return tail


def info_at(fd: int, end: int, key: SessionKey) -> SessionInfo | None:
    """The record as it is at this place in the file; None if no metadata line is before it."""
    newest_first: list[Turn] = []
    for _, line in lines_backward(fd, end):
        found = decode_line(line)
        if isinstance(found, MetadataLine):
            return _carried_on(found.info(key), newest_first[::-1], len(newest_first))
        if isinstance(found, Turn):
            newest_first.append(found)
    return None


def _carried_on(info: SessionInfo, turns: Sequence[Turn], counted: int) -> SessionInfo:
    """The record after these turns, the last `counted` of which stand behind its line.

    Those before it should tell nothing new; but a line that somebody copied to the end says
    what was long ago, and an id must never be given twice.
    """
    if not turns:
        return info
    newest = turns[-1]
    info = msgspec.structs.replace(
        info, turns=info.turns + counted, last_id=max(info.last_id, newest.id)
    )
    if newest.epoch > info.epoch:
        # The line that began this epoch is damaged; the summary was of the epoch before.
        info = msgspec.structs.replace(info, epoch=newest.epoch, summary=None)
    return info


def _ascending(
    lines: list[tuple[Turn, int, int]],
) -> tuple[list[tuple[Turn, int, int]], list[int]]:
    """The most of these lines whose ids ascend, and the offsets of the others.

    Ids ascend; a line out of place was put there by hand, and must not hide its neighbours.
    """
    if all(a[0].id < b[0].id for a, b in pairwise(lines)):
        return lines, []
    # The longest ascending subsequence: `ends[n]` is the line that ends the best of length n + 1.
    ends: list[int] = []
    before: dict[int, int | None] = {}
    for index, (turn, _, _) in enumerate(lines):
        length = bisect_left(ends, turn.id, key=lambda at: lines[at][0].id)
        before[index] = ends[length - 1] if length else None
        ends[length : length + 1] = [index]
    kept: list[int] = []
    at: int | None = ends[-1]
    while at is not None:
        kept.append(at)
        at = before[at]
    chosen = {*kept}
    return (
        [line for index, line in enumerate(lines) if index in chosen],
        [line[1] for index, line in enumerate(lines) if index not in chosen],
    )


def lines_backward(fd: int, end: int) -> Iterator[tuple[int, bytes]]:
    """The lines before `end`, the last first, each with its offset and without its line feed."""
    return _backward(partial(_pread, fd), end)


def _pread(fd: int, size: int, offset: int) -> bytes:
    return os.pread(fd, size, offset)


def _end_at_hand(fd: int, size: int) -> _Read:
    """Reads a file whose end is looked at more than once; that is read now."""
    begin = max(0, size - BLOCK - 1)  # the last line feed, and a block before it
    end = os.pread(fd, size - begin, begin)

    def read(size: int, offset: int) -> bytes:
        at = offset - begin
        return end[at : at + size] if at >= 0 else os.pread(fd, size, offset)

    return read


def _backward(read: _Read, end: int) -> Iterator[tuple[int, bytes]]:
    if end <= 0:
        return
    position = end - 1 if read(1, end - 1) == b"\n" else end
    pieces: list[bytes] = []  # of the line whose beginning has not been read, the last first
    while True:
        block = min(position, max(BLOCK, sum(map(len, pieces))))
        position -= block
        data = read(block, position)
        first, *rest = data.split(b"\n")
        offset = position + len(data)
        for line in reversed(rest):
            offset -= len(line)
            if pieces:
                line += b"".join(reversed(pieces))
                pieces = []
            yield offset, line
            offset -= 1
        pieces.append(first)
        if position == 0:
            yield 0, b"".join(reversed(pieces))
            return


def lines_forward(fd: int, start: int, end: int, block: int = BLOCK) -> Iterator[tuple[int, bytes]]:
    """The lines from `start`, which begins a line, to `end`, each with its offset."""
    pieces: list[bytes] = []  # of the line whose end has not been read
    position = start
    while position < end:
        data = os.pread(fd, min(block, end - position), position)
        if not data:
            break
        position += len(data)
        *whole, last = data.split(b"\n")
        for line in whole:
            if pieces:
                line = b"".join((*pieces, line))
                pieces = []
            yield start, line
            start += len(line) + 1
        if last:
            pieces.append(last)
    if pieces:
        yield start, b"".join(pieces)


def turns_forward(
    fd: int, start: int, end: int, block: int = BLOCK
) -> Iterator[tuple[int, Turn | Damaged]]:
    """The turns from `start`, which begins a line, to `end`, each with its offset.

    Ids ascend: a turn whose id is not below the next one's is damaged.
    """
    held: tuple[int, Turn] | None = None
    for offset, line in lines_forward(fd, start, end, block):
        found = decode_line(line)
        if isinstance(found, Turn):
            if held is not None:
                yield held if held[1].id < found.id else (held[0], DAMAGED)
            held = offset, found
        elif found is DAMAGED:
            yield offset, DAMAGED
    if held is not None:
        yield held


def line_at(fd: int, start: int, end: int) -> bytes:
    """The line that begins at this offset, without its line feed."""
    return next((line for _, line in lines_forward(fd, start, end)), b"")


def offset_of(fd: int, end: int, turn_id: int) -> int:
    """The offset of the first line that holds a turn with `id >= turn_id`; else `end`."""
    low, high = 0, end
    while low < high:
        middle = (low + high) // 2
        start, turn = _turn_behind(fd, middle, end)
        if turn is None or turn.id >= turn_id:
            high = middle
        else:
            low = start + 1
    return _turn_behind(fd, low, end)[0]


def find_source(fd: int, end: int, source_id: str) -> Turn | None:
    """The latest turn with this source id: a search for its bytes, then a look at the line."""
    if end == 0:
        return None
    needle = msgspec.json.encode(source_id)
    with mmap.mmap(fd, end, prot=mmap.PROT_READ) as data:
        stop = end
        while (at := data.rfind(needle, 0, stop)) >= 0:
            start = data.rfind(b"\n", 0, at) + 1
            behind = data.find(b"\n", at)
            turn = decode_line(data[start : behind if behind >= 0 else end])
            if isinstance(turn, Turn) and source_id in turn.source_ids:
                return turn
            stop = at
    return None


def _split_torn(read: _Read, size: int) -> tuple[int, bytes]:
    """Where the last whole line ends, and what stands behind it."""
    position = size
    torn: list[bytes] = []
    while position > 0:
        block = min(BLOCK, position)
        data = read(block, position - block)
        feed = data.rfind(b"\n")
        if feed >= 0:
            torn.append(data[feed + 1 :])
            return position - block + feed + 1, b"".join(reversed(torn))
        torn.append(data)
        position -= block
    return 0, b"".join(reversed(torn))


def _finished(read: _Read, size: int) -> int:
    """Where the last append that was written to its end ends."""
    for start, line in _backward(read, size):
        unfinished = is_unfinished(line)
        if unfinished is False:
            break
        if unfinished:
            size = start
    return size


def _line_start(fd: int, position: int, end: int) -> int:
    """The beginning of the first line that begins at or behind `position`."""
    if position == 0:
        return 0
    position -= 1
    while position < end:
        data = os.pread(fd, min(PROBE, end - position), position)
        feed = data.find(b"\n")
        if feed >= 0:
            return position + feed + 1
        if not data:
            break
        position += len(data)
    return end


def _turn_behind(fd: int, position: int, end: int) -> tuple[int, Turn | None]:
    """The first turn whose line begins at or behind `position`, and where it begins."""
    for start, turn in turns_forward(fd, _line_start(fd, position, end), end, PROBE):
        if isinstance(turn, Turn):
            return start, turn
    return end, None
