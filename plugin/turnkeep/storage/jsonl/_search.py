"""Looking for source ids in whole files.

A line is decoded only where the bytes of an id are in it. Files are read in blocks: one that
is cut short meanwhile just ends sooner, and no call keeps the interpreter to itself for long.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from ..._records.turn import Turn
from ._blocks import check_line, whole_lines
from ._disk import read_part
from ._lines import LONGEST_LINE, decode_line, is_odd, parts

BLOCK: Final = 256 * 1024
FEW: Final = 8
"""So many ids are searched for one by one; with more, the ids of each line are looked up."""

_MARK: Final = b'"source_ids":'
_METADATA: Final = b'\n{"_type":'


class _SourceIds(msgspec.Struct):
    source_ids: tuple[Any, ...] = ()


_decoder: Final = msgspec.json.Decoder(_SourceIds)


def find_latest(fd: int, end: int, source_id: str) -> Turn | None:
    """Return the latest turn before `end` that has this source id, or None."""
    needle = msgspec.json.encode(source_id)
    behind = end
    for at in _backward(fd, end, needle):
        if at >= behind:
            continue  # in the line that was just looked at
        behind, line = _line_around(fd, at, end)
        for _, turn in reversed(_turns(behind, line)):
            if source_id in turn.source_ids:
                return turn
    return None


def is_absent(fd: int, end: int, needles: Sequence[bytes], turns: int) -> bool:
    """Return True if none of these bytes are in the latest so many turns before `end`."""
    overlap = max(map(len, needles)) - 1
    stop, behind, left = end, b"", turns + 1  # the line feed before the first of them
    while stop > 0 and left > 0:
        start = max(0, stop - BLOCK)
        data = read_part(fd, start, stop) + behind
        # From the end: Python's search is three times as fast in that direction.
        if any(data.rfind(needle) >= 0 for needle in needles):
            return False
        left -= data.count(b"\n", 0, stop - start)
        at = len(data)
        while (at := data.rfind(_METADATA, 0, at)) >= 0:
            left += 1
        behind, stop = data[:overlap], start
    return True


def find_every(fd: int, end: int, source_ids: Sequence[str]) -> Iterator[tuple[int, Turn]]:
    """Give each turn before `end` that has one of these source ids, with its offset."""
    wanted = frozenset(source_ids)
    needles = [msgspec.json.encode(one) for one in wanted] if len(wanted) <= FEW else []
    for start, block in _blocks(fd, end):
        for offset, line in _candidates(block, needles, wanted):
            for at, turn in _turns(start + offset, line):
                if not wanted.isdisjoint(turn.source_ids):
                    yield at, turn


def _turns(start: int, line: bytes) -> list[tuple[int, Turn]]:
    decoded = [(at, decode_line(part)) for at, part in parts(start, line)]
    return [(at, turn) for at, turn in decoded if isinstance(turn, Turn)]


def _candidates(
    block: bytes, needles: Sequence[bytes], wanted: frozenset[str]
) -> Iterator[tuple[int, bytes]]:
    """Give the lines of a block that may have such an id."""
    if needles:
        starts: set[int] = set()
        for needle in needles:
            at = block.find(needle)
            while at >= 0:
                starts.add(block.rfind(b"\n", 0, at) + 1)
                at = block.find(needle, at + len(needle))
        for start in sorted(starts):
            stop = block.find(b"\n", start)
            yield start, block[start : stop if stop >= 0 else len(block)]
        return
    start = 0
    for line in block.split(b"\n"):
        if _MARK in line and not wanted.isdisjoint(_source_ids(line)):
            yield start, line
        start += len(line) + 1


def _source_ids(line: bytes) -> list[str]:
    if is_odd(line):
        return [one for _, turn in _turns(0, line) for one in turn.source_ids]
    try:
        return [one for one in _decoder.decode(line).source_ids if isinstance(one, str)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []


def _backward(fd: int, end: int, needle: bytes) -> Iterator[int]:
    """Give the offsets of these bytes, the last first."""
    size = max(BLOCK, 2 * len(needle))
    stop = end
    while stop >= len(needle):
        start = max(0, stop - size)
        data = read_part(fd, start, stop)
        at = data.rfind(needle)
        while at >= 0:
            yield start + at
            at = data.rfind(needle, 0, at + len(needle) - 1)
        # What lies across the beginning of this block is whole in the next one.
        stop = start + len(needle) - 1 if start else 0


def _line_around(fd: int, at: int, end: int) -> tuple[int, bytes]:
    """Return where the line that is at this offset begins, and the line."""
    start = at
    while start > 0:
        check_line(at - start)
        block = read_part(fd, max(0, start - BLOCK), start)
        feed = block.rfind(b"\n")
        start -= len(block) - feed - 1
        if feed >= 0 or not block:
            break
    return start, next((line for _, line in whole_lines(fd, start, end)), b"")


def _blocks(fd: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Give the file in blocks of whole lines, each with its offset, but for lines too long."""
    start = position = 0
    pieces: list[bytes] = []
    while position < end:
        check_line(position - start)
        data = os.pread(fd, min(BLOCK, end - position), position)
        if not data:
            break
        feed = data.rfind(b"\n") + 1
        if feed:
            if position - start > LONGEST_LINE:
                first = data.find(b"\n") + 1
                yield position + first, data[first:feed]
            else:
                yield start, b"".join((*pieces, data[:feed])) if pieces else data[:feed]
            start = position + feed
            pieces = []
        position += len(data)
        if position - start > LONGEST_LINE:
            pieces.clear()
        elif feed < len(data):
            pieces.append(data[feed:])
    if pieces:
        yield start, b"".join(pieces)
