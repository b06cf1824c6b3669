"""Whole sessions' files, written beside and put in place by one rename.

A crash leaves the old file or the new one. All functions block.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO

import msgspec

from ..._records.turn import Turn
from ..base import SessionInfo
from ._blocks import line_at, lines_forward
from ._disk import copy_bytes, writing_anew
from ._lines import METADATA_EVERY, decode_line, encode_metadata, encode_turn
from ._place import FileChanged, Place, reading_place
from ._read import info_at, offset_of


def rewrite_turns(
    place: Place,
    workplace: Path,
    changes: Mapping[int, Turn | None],
    info: SessionInfo,
    op: str,
    moved: list[tuple[int, int]],
) -> None:
    """Write a file anew with some turns changed or left out, and the record at its end.

    Every other line, damaged ones too, stays as it is, to the byte. `moved` is given offsets,
    ascending, and how far what stands behind each has moved.
    """
    size = place.size
    moved.append((0, 0))
    with (
        reading_place(place) as source,
        writing_anew(place.path, workplace, info.updated_at) as target,
    ):
        if os.fstat(source).st_size != size:
            raise FileChanged
        position = 0
        for start, length, turn_id in _places(source, size, changes):
            copy_bytes(source, target, position, start)
            position = start + length
            changed = changes[turn_id]
            if changed is not None:
                line = encode_turn(changed)
                here = info_at(source, start, info.key) if len(line) > length else None
                # A turn that grows must not draw the metadata lines around it apart.
                target.write(b"" if here is None else encode_metadata(here, op))
                target.write(line)
                here = here and info_at(source, position, info.key)
                target.write(b"" if here is None else encode_metadata(here, op))
            moved.append((position, target.tell() - position))
        copy_bytes(source, target, position, size)
        target.write(encode_metadata(info, op, sorted(changes)))


def follow(moved: list[tuple[int, int]]) -> Callable[[int], int]:
    """Return the function that says where an offset is after such a rewrite."""
    return lambda place: place + next(by for start, by in reversed(moved) if start <= place)


def write_session(file: IO[bytes], info: SessionInfo, lines: Iterable[bytes], op: str) -> None:
    """Write all of a session; each metadata line counts the turns that stand before it."""
    file.write(encode_metadata(msgspec.structs.replace(info, turns=0), op))
    since = count = 0
    for line in lines:
        if since and since + len(line) > METADATA_EVERY:
            file.write(encode_metadata(msgspec.structs.replace(info, turns=count), op))
            since = 0
        file.write(line)
        since += len(line)
        count += 1
    file.write(encode_metadata(msgspec.structs.replace(info, turns=count), op))


def _places(fd: int, size: int, ids: Iterable[int]) -> list[tuple[int, int, int]]:
    """Return for these turns: the line's offset, its length with the line feed, the id."""
    places: list[tuple[int, int, int]] = []
    missing: set[int] = set()
    for turn_id in ids:
        start = offset_of(fd, size, turn_id)
        line = line_at(fd, start, size)
        turn = decode_line(line)
        if isinstance(turn, Turn) and turn.id == turn_id:
            places.append((start, len(line) + 1, turn_id))
        else:
            missing.add(turn_id)
    if missing:
        # Damage has put ids out of order, where bisecting fails: look at every line.
        for start, line in lines_forward(fd, 0, size):
            turn = decode_line(line)
            if isinstance(turn, Turn) and turn.id in missing:
                places.append((start, len(line) + 1, turn.id))
    return sorted(places)
