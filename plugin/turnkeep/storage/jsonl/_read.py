"""Reading a session's file from its end, and finding a place in its middle.

Opening a long chat must cost its window and not its length, so nothing here reads a file
from its beginning: the tail is read backwards in blocks until it has what is asked for,
and a turn in the middle is found by bisection, since ids ascend.

All functions block; they run on worker threads, on a descriptor opened for reading.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

import msgspec

from ..._records.identity import generation_from
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import SessionInfo
from ._blocks import (
    BLOCK,
    PROBE,
    Read,
    backward,
    check_line,
    end_at_hand,
    line_start,
    lines_forward,
)
from ._disk import modified_at
from ._lines import (
    DAMAGED,
    LONGEST_LINE,
    Damaged,
    MetadataLine,
    decode_line,
    is_odd,
    is_unfinished,
    of_generation,
    written_at,
)


@dataclass
class Tail:
    """The end of a file: its newest turns, ascending, and the record."""

    turns: list[Turn] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)
    """Bytes of each turn's line."""
    info: SessionInfo | None = None
    earlier: int = 0
    """The number of turns of earlier epochs, as far as it is known."""
    inode: int = 0
    modified: int = 0
    """The file's time of change, in nanoseconds."""
    complete: bool = False
    """There are no turns before these; without it, there may be."""
    size: int = 0
    """Bytes of the file up to the end of its last whole line."""
    torn: int = 0
    """Bytes of the rest: the beginning of an append whose writer died."""
    unended: bool = False
    """The last line, whole otherwise, lacks its line feed; it is counted in `size`."""
    unmended: bool = False
    """The file can't be added to: its end could not be made whole."""
    since_metadata: int = 0
    """Bytes behind the last metadata line."""
    damaged: list[int] = field(default_factory=list)
    """Offsets of damaged lines."""
    damaged_places: int = 0
    """The number of damaged places found so far, those that were set aside too."""


def read_tail(fd: int, key: SessionKey, *, limit: int) -> Tail:
    """Return the newest `limit` turns and, to tell whether there are more, one before them."""
    status = os.fstat(fd)
    tail = Tail(inode=status.st_ino, modified=status.st_mtime_ns)
    read = end_at_hand(fd, status.st_size)
    tail.size = _end_of_lines(read, status.st_size)
    tail.torn = status.st_size - tail.size
    if 0 < tail.torn <= LONGEST_LINE and isinstance(
        decode_line(read(tail.torn, tail.size)), (Turn, MetadataLine)
    ):
        tail.size, tail.torn, tail.unended = status.st_size, 0, True
    whole = _finished(read, tail.size)
    if whole < tail.size:
        tail.size, tail.torn, tail.unended = whole, status.st_size - whole, False
    newest_first: list[tuple[Turn, int, int]] = []  # and where its line begins, and its length
    record: MetadataLine | None = None
    record_at = -1
    written: datetime | None = None
    damaged_last = 0  # lines at the end that may have been turns, whose ids are not given again
    for start, line in backward(read, tail.size):
        if record is not None and len(newest_first) > limit:
            break
        found = decode_line(line)
        if isinstance(found, Turn):
            if not newest_first and record is None:
                written = written_at(line) or modified_at(status)
            newest_first.append((found, start, len(line) + 1))
        elif isinstance(found, MetadataLine) and record is None:
            record, record_at = found, start
            tail.since_metadata = tail.size - start - len(line) - 1
        elif found is DAMAGED:
            tail.damaged.append(start)
            damaged_last += not newest_first and record is None
    else:
        tail.complete = True
    in_file_order = newest_first[::-1]
    kept = ascending([turn.id for turn, _, _ in in_file_order])
    if len(kept) < len(in_file_order):
        chosen = {*kept}
        tail.damaged += [line[1] for at, line in enumerate(in_file_order) if at not in chosen]
    placed = [in_file_order[at] for at in kept]
    tail.turns = [turn for turn, _, _ in placed]
    tail.weights = [length for _, _, length in placed]
    if record is not None:
        counted = sum(start > record_at for _, start, _ in placed)
        tail.earlier = record.count_earlier
        info = carried_on(record.info(key), tail.turns, counted)
        tail.info = msgspec.structs.replace(info, last_id=info.last_id + damaged_last)
    elif tail.turns:
        tail.since_metadata = tail.size
        tail.info = SessionInfo(
            key=key,
            created_at=tail.turns[0].time,
            updated_at=tail.turns[-1].time,
            turns=len(tail.turns),
            last_id=tail.turns[-1].id + damaged_last,
            epoch=tail.turns[-1].epoch,
            generation=generation_from(tail.turns[0].time),
        )
    if tail.info is not None and tail.complete and tail.info.epoch > 1:
        # Exact where all is at hand; a file of before this count, or a damaged one, tells less.
        tail.earlier = sum(turn.epoch < tail.info.epoch for turn in tail.turns)
    if tail.info is not None:
        said = [] if record is None else [record.updated_at]
        said += [] if written is None else [written]
        # What a copied line says may be long ago.
        tail.info = msgspec.structs.replace(tail.info, updated_at=max(said))
        for turn in tail.turns:
            of_generation(turn, tail.info.generation)
    return tail


def time_at_end(fd: int) -> datetime | None:
    """Return when a session was last written, as `read_tail` does, if a short look tells it."""
    size = os.fstat(fd).st_size
    start = max(0, size - PROBE)
    data = os.pread(fd, size - start, start)
    if not data.endswith(b"\n") or is_odd(data):
        return None
    lines = data[:-1].split(b"\n")[bool(start) :]
    if not lines or is_unfinished(lines[-1]) is not False:
        return None
    said: list[datetime] = []
    for line in reversed(lines):
        found = decode_line(line)
        if isinstance(found, MetadataLine):
            return max([*said, found.updated_at])
        if not isinstance(found, Turn):
            return None
        if not said:
            written = written_at(line)
            if written is None:
                return None
            said.append(written)
    return None


def carried_on(info: SessionInfo, turns: Sequence[Turn], counted: int) -> SessionInfo:
    """Return the record after these turns, the last `counted` of which stand behind its line.

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


def ascending(ids: Sequence[int]) -> Sequence[int]:
    """Return the indexes of the most ids that ascend.

    Ids ascend; a line out of place was put there by hand, and must not hide its neighbours.
    """
    if all(one < other for one, other in pairwise(ids)):
        return range(len(ids))
    # The longest ascending subsequence: `ends[n]` is the index that ends the best of length n + 1.
    ends: list[int] = []
    before: list[int] = []
    for index, id in enumerate(ids):
        length = bisect_left(ends, id, key=ids.__getitem__)
        before.append(ends[length - 1] if length else -1)
        ends[length : length + 1] = [index]
    kept: list[int] = []
    at = ends[-1]
    while at >= 0:
        kept.append(at)
        at = before[at]
    return kept[::-1]


def turns_forward(
    fd: int, start: int, end: int, block: int = BLOCK
) -> Iterator[tuple[int, Turn | Damaged]]:
    """Give the turns from `start`, which begins a line, to `end`, each with its offset.

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


def offset_of(fd: int, end: int, turn_id: int) -> int:
    """Return the offset of the first line that holds a turn with `id >= turn_id`, or `end`.

    Most turns that are looked for are near the end, so that is left in steps that double.
    """
    low, high, step = 0, end, BLOCK
    while step < high:
        start, turn = _turn_behind(fd, high - step, end)
        if turn is not None and turn.id < turn_id:
            low = start + 1
            break
        high, step = high - step, 2 * step
    while low < high:
        middle = (low + high) // 2
        start, turn = _turn_behind(fd, middle, end)
        if turn is None or turn.id >= turn_id:
            high = middle
        else:
            low = start + 1
    return _turn_behind(fd, low, end)[0]


def _end_of_lines(read: Read, size: int) -> int:
    """Return the offset behind the last whole line."""
    position = size
    while position > 0:
        check_line(size - position)
        block = min(BLOCK, position)
        feed = read(block, position - block).rfind(b"\n")
        position -= block
        if feed >= 0:
            return position + feed + 1
    return 0


def _finished(read: Read, size: int) -> int:
    """Return the offset behind the last append that was written to its end."""
    for start, line in backward(read, size):
        unfinished = is_unfinished(line)
        if unfinished is False:
            break
        if unfinished:
            size = start
    return size


def _turn_behind(fd: int, position: int, end: int) -> tuple[int, Turn | None]:
    """Return the offset of the first turn's line at or behind `position`, and that turn."""
    for start, turn in turns_forward(fd, line_start(fd, position, end), end, PROBE):
        if isinstance(turn, Turn):
            return start, turn
    return end, None
