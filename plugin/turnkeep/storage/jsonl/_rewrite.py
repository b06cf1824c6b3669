"""Sessions' lines, written anew with some of them changed.

What is near the end of a file is changed in its place, and the rest of the file stays; else the
whole file is written beside and put in place by one rename. A crash leaves the old lines or the
new ones. All functions block.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Final

import msgspec

from ..._records.turn import Turn
from ..base import SessionInfo
from ._blocks import LongLine, line_start, lines_backward, lines_forward
from ._disk import copy_bytes, pieces_of, read_part, writing_anew
from ._edits import LONGEST_EDIT, MAX_BYTES, Edit, Edits
from ._lines import (
    METADATA_EVERY,
    MetadataLine,
    decode_line,
    encode_metadata,
    encode_turn,
    is_metadata,
    is_unfinished,
    without_more,
)
from ._place import FileChanged, Place, reading_place
from ._read import carried_on, offset_of

_NEAR: Final = 32
"""So many ids behind a turn the next one is looked for line by line."""

_REPLACED: Final = ("edit", "delete")
"""The metadata lines of these are needed only until the next one, which tells as much."""


def rewrite_turns(
    place: Place,
    workplace: Path,
    edits: Edits,
    changes: Mapping[int, Turn | None],
    info: SessionInfo,
    earlier: int,
    op: str,
    moved: list[tuple[int, int]],
) -> int | None:
    """Change or leave out turns of a file, with the record at its end.

    Return the file's new size, or None if it is another file now. `earlier` goes into the
    record. `moved` is given offsets, ascending, and how far what stands behind each has moved.
    """
    size = place.size
    moved.append((0, 0))
    with reading_place(place) as source:
        status = os.fstat(source)
        if status.st_size != size or place.modified not in (0, status.st_mtime_ns):
            raise FileChanged
        places = dict(_places(source, size, changes))
        begin = _begin(source, size, min(places, default=size))
        after = {start: changes[turn_id] for start, turn_id in places.items()}
        lines: Iterable[bytes] = _lines(source, begin, size, after, info, moved)
        record = encode_metadata(info, op, sorted(changes), earlier=earlier)
        if size - begin <= MAX_BYTES:
            data = b"".join([*lines, record])
            if len(data) <= LONGEST_EDIT:
                old = read_part(source, begin, size)
                left_over = zlib.crc32(old[len(data) :])
                edits.write(Edit(place.path, size, begin, data, left_over), old, info.updated_at)
                return begin + len(data)
            lines, record = [data], b""
        edits.release(place.path)
        with writing_anew(place.path, workplace, info.updated_at) as target:
            copy_bytes(source, target, 0, begin)
            target.writelines(lines)
            target.write(record)
    return None


def follow(moved: list[tuple[int, int]]) -> Callable[[int], int]:
    """Return the function that says where an offset is after such a rewrite."""
    return lambda place: place + next(by for start, by in reversed(moved) if start <= place)


def write_session(
    file: IO[bytes], info: SessionInfo, earlier: int, lines: Iterable[bytes], op: str
) -> None:
    """Write all of a session; each metadata line counts the turns that stand before it."""

    def record(count: int) -> bytes:
        return encode_metadata(msgspec.structs.replace(info, turns=count), op, earlier=earlier)

    file.write(record(0))
    since = count = 0
    for line in lines:
        if since and since + len(line) > METADATA_EVERY:
            file.write(record(count))
            since = 0
        file.write(line)
        since += len(line)
        count += 1
    file.write(record(count))


def _begin(fd: int, size: int, first: int) -> int:
    """Return where to begin to write, so that `first` is behind it.

    The end of the file is always written, so that the metadata lines of many edits do not
    pile up there.
    """
    begin = min(first, line_start(fd, max(0, size - METADATA_EVERY), size))
    for start, line in lines_backward(fd, begin):
        unfinished = is_unfinished(line)
        if unfinished:
            # Its append may end with what is taken away, and it is whole all the same.
            begin = start
        if unfinished is not None:
            break
    return begin


def _lines(
    fd: int,
    begin: int,
    size: int,
    changes: Mapping[int, Turn | None],
    info: SessionInfo,
    moved: list[tuple[int, int]],
) -> Iterator[bytes]:
    """Give the lines from `begin` on, with those at these offsets changed or left out."""
    record, earlier, since = _record_before(fd, begin, info)
    last, count = b"", 0  # the turns behind the record
    position = begin
    if begin and os.pread(fd, 1, begin - 1) != b"\n":
        yield b"\n"
        position += 1
    for start, line in lines_forward(fd, begin, size):
        if isinstance(line, LongLine):
            moved.append((start, position - start))
            yield from pieces_of(fd, start, start + line.size)
            yield b"\n"
            position += line.size + 1
            since += line.size + 1
            continue
        new = b""
        if start in changes:
            turn = changes[start]
            new = b"" if turn is None else encode_turn(turn)
        else:
            found = decode_line(line) if is_metadata(line) else None
            if isinstance(found, MetadataLine):
                record, last, count = found.info(info.key), b"", 0
                earlier = found.count_earlier
            if not (isinstance(found, MetadataLine) and found.op in _REPLACED):
                new = without_more(line) + b"\n"
            if isinstance(found, MetadataLine) and new:
                since = -len(new)
        if new and since > 0 and since + len(new) > METADATA_EVERY and record is not None:
            turn_before = decode_line(last)
            turns = [turn_before] if isinstance(turn_before, Turn) else []
            now = carried_on(record, turns, count)
            checkpoint = encode_metadata(now, "checkpoint", earlier=earlier)
            yield checkpoint
            position += len(checkpoint)
            since = 0
        if position - start != moved[-1][1]:
            moved.append((start, position - start))
        if new:
            yield new
            position += len(new)
            since += len(new)
            if since:
                last, count = new, count + 1


def _record_before(fd: int, begin: int, info: SessionInfo) -> tuple[SessionInfo | None, int, int]:
    """Return the record as it was at this place, with the number of turns of earlier epochs.

    The last value is how many bytes before this place its line ends.
    """
    newest_first: list[Turn] = []
    for start, line in lines_backward(fd, begin):
        found = decode_line(line)
        if isinstance(found, MetadataLine):
            record = carried_on(found.info(info.key), newest_first[::-1], len(newest_first))
            return record, found.count_earlier, begin - start - len(line) - 1
        if isinstance(found, Turn):
            newest_first.append(found)
    return None, 0, begin


def _places(fd: int, size: int, ids: Iterable[int]) -> list[tuple[int, int]]:
    """Return for these turns the offset of the line, and the id."""
    places: list[tuple[int, int]] = []
    missing = {*ids}
    reached = 0
    for turn_id in sorted(missing):
        if turn_id > reached and turn_id in missing:
            reached = turn_id + _NEAR
            lines = lines_forward(fd, offset_of(fd, size, turn_id), size)
            for start, turn in _turns(lines):
                if turn.id > reached:
                    break
                if turn.id in missing:
                    # To go on from here costs less than to look for the next one.
                    places.append((start, turn.id))
                    missing.discard(turn.id)
                    reached = turn.id + _NEAR
    if missing:
        # Damage has put ids out of order, where bisecting fails: look at every line.
        places += [
            (start, turn.id)
            for start, turn in _turns(lines_forward(fd, 0, size))
            if turn.id in missing
        ]
    return places


def _turns(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, Turn]]:
    for start, line in lines:
        turn = decode_line(line)
        if isinstance(turn, Turn):
            yield start, turn
