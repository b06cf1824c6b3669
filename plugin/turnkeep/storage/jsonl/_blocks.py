"""The lines of a file, read in blocks from either end.

All functions block; they run on worker threads, on a descriptor opened for reading.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, TypeAlias

from ._lines import is_odd, parts

BLOCK: Final = 64 * 1024
PROBE: Final = 4 * 1024

Read: TypeAlias = Callable[[int, int], bytes]
"""A function that reads so many bytes from this offset on."""


def lines_backward(fd: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Give the lines before `end`, the last first, each with its offset, without its line feed."""
    return backward(partial(_pread, fd), end)


def _pread(fd: int, size: int, offset: int) -> bytes:
    return os.pread(fd, size, offset)


def end_at_hand(fd: int, size: int) -> Read:
    """Return a function that reads the file, and whose end is read once, now."""
    begin = max(0, size - BLOCK - 1)  # the last line feed, and a block before it
    end = os.pread(fd, size - begin, begin)

    def read(size: int, offset: int) -> bytes:
        at = offset - begin
        return end[at : at + size] if at >= 0 else os.pread(fd, size, offset)

    return read


def backward(read: Read, end: int) -> Iterator[tuple[int, bytes]]:
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
            if is_odd(line):
                yield from reversed(parts(offset, line))
            else:
                yield offset, line
            offset -= 1
        pieces.append(first)
        if position == 0:
            yield from reversed(parts(0, b"".join(reversed(pieces))))
            return


def lines_forward(fd: int, start: int, end: int, block: int = BLOCK) -> Iterator[tuple[int, bytes]]:
    """Give the lines from `start`, which begins a line, to `end`, each with its offset."""
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
            if is_odd(line):
                yield from parts(start, line)
            else:
                yield start, line
            start += len(line) + 1
        if last:
            pieces.append(last)
    if pieces:
        yield from parts(start, b"".join(pieces))


def line_at(fd: int, start: int, end: int) -> bytes:
    """Return the line that begins at this offset, without its line feed."""
    return next((line for _, line in lines_forward(fd, start, end)), b"")


def line_start(fd: int, position: int, end: int) -> int:
    """Return the offset of the first line that begins at or behind `position`."""
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
