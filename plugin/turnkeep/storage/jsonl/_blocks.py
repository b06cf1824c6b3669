"""The lines of a file, read in blocks from either end.

A line that is too long is passed over in blocks, too: a `LongLine` stands in its place. So no
file takes more memory than `LONGEST_LINE`, or keeps the interpreter to itself for long.

All functions block; they run on worker threads, on a descriptor opened for reading.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, Self, TypeAlias

from ._disk import data_of
from ._lines import LONGEST_LINE, is_odd, parts

BLOCK: Final = 64 * 1024
PROBE: Final = 4 * 1024
LARGEST_BLOCK: Final = 1024 * 1024
MAX_LINE_BYTES: Final = 1024 * 1024 * 1024
"""More than any turn; only in a file from elsewhere, or one with holes, is a line longer."""

Read: TypeAlias = Callable[[int, int], bytes]
"""A function that reads so many bytes from this offset on."""


class LongLine(bytes):
    """The place of a line that is too long to be read: it is damaged, and `size` bytes long."""

    size: int

    def __new__(cls, size: int) -> Self:
        line = super().__new__(cls, b"\xff")
        line.size = size
        return line


def length_of(line: bytes) -> int:
    """Return the bytes that a line has in its file, without its line feed."""
    return line.size if isinstance(line, LongLine) else len(line)


class EndlessLineError(OSError):
    """A line is longer than any that could have been written."""


def check_line(length: int) -> None:
    """Raise `EndlessLineError` for a line so long that its file has to be refused.

    It is not set aside either: holes take no space where they are, and would where they went.
    """
    if length > MAX_LINE_BYTES:
        raise EndlessLineError(
            f"it holds a line of more than {MAX_LINE_BYTES} bytes, which no session has: "
            "move the file away"
        )


class _Spanning:
    """A line of which only a part was read."""

    def __init__(self, order: int) -> None:
        self.size = 0
        self._order = order
        """-1 if its last piece comes first."""
        self._pieces: list[bytes] = []

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        check_line(self.size)
        self._pieces.append(piece)
        if self.size > LONGEST_LINE:
            self._pieces.clear()

    def end(self, piece: bytes) -> bytes:
        """Return the line, with its last piece, and begin another one."""
        self.add(piece)
        size, pieces = self.size, self._pieces
        self.size, self._pieces = 0, []
        return LongLine(size) if size > LONGEST_LINE else b"".join(pieces[:: self._order])


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
    begun = _Spanning(-1)
    while True:
        block = min(position, max(BLOCK, min(begun.size, LARGEST_BLOCK)))
        position -= block
        data = read(block, position)
        first, *rest = data.split(b"\n")
        offset = position + len(data)
        for line in reversed(rest):
            offset -= len(line)
            if begun.size:
                line = begun.end(line)
            if is_odd(line):
                yield from reversed(parts(offset, line))
            else:
                yield offset, line
            offset -= 1
        if position == 0:
            yield from reversed(parts(0, begun.end(first)))
            return
        begun.add(first)


def lines_forward(fd: int, start: int, end: int, block: int = BLOCK) -> Iterator[tuple[int, bytes]]:
    """Give the lines from `start`, which begins a line, to `end`, each with its offset."""
    for offset, line in whole_lines(fd, start, end, block):
        if is_odd(line):
            yield from parts(offset, line)
        else:
            yield offset, line


def whole_lines(fd: int, start: int, end: int, block: int = BLOCK) -> Iterator[tuple[int, bytes]]:
    """Give the same, also where a line is more than one record."""
    begun = _Spanning(1)
    position = start
    while position < end:
        size = max(block, min(begun.size, LARGEST_BLOCK))
        data = os.pread(fd, min(size, end - position), position)
        if not data:
            break
        position += len(data)
        *whole, last = data.split(b"\n")
        for line in whole:
            if begun.size:
                line = begun.end(line)
            yield start, line
            start += length_of(line) + 1
        if last:
            begun.add(last)
    if begun.size:
        yield start, begun.end(b"")


def line_at(fd: int, start: int, end: int) -> bytes:
    """Return the line that begins at this offset, without its line feed."""
    return next((line for _, line in lines_forward(fd, start, end)), b"")


def line_start(fd: int, position: int, end: int) -> int:
    """Return the offset of the first line that begins at or behind `position`."""
    if position == 0:
        return 0
    position -= 1
    block = PROBE
    while position < end:
        data = os.pread(fd, min(block, end - position), position)
        feed = data.find(b"\n")
        if feed >= 0:
            return position + feed + 1
        if not data:
            break
        position += len(data)
        block = min(2 * block, LARGEST_BLOCK)
    return end


def count_lines(fd: int, start: int, end: int) -> int:
    """Return the number of line feeds in a part of a file; its holes have none."""
    return sum(piece.count(b"\n") for piece in data_of(fd, start, end))
