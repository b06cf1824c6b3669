"""All of a session's file, read line by line, so that a long session holds up nobody.

All functions block.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from typing import Final, TypeVar

import msgspec

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import SessionInfo
from ..rules import shifted
from ._blocks import length_of, line_at, lines_forward
from ._disk import data_of, pieces_of, reading
from ._lines import DAMAGED, decode_line, encode_turn, without_more
from ._names import DAMAGED_SUFFIX, session_path
from ._read import ascending, read_tail

T = TypeVar("T")
replace: Final = msgspec.structs.replace

LINES_AT_ONCE: Final = 32
PAUSE_SECONDS: Final = 0.0001


@dataclass
class Whole:
    """All of a session's file."""

    path: Path
    info: SessionInfo | None = None
    earlier: int = 0
    places: list[int] = field(default_factory=list)
    """Offsets of the turns' lines."""
    size: int = 0
    lost: list[int] = field(default_factory=list)
    """Offsets of the lines that can't be read."""

    @property
    def aside(self) -> Path:
        """The file of what was set aside."""
        return self.path.with_suffix(DAMAGED_SUFFIX)

    @property
    def is_damaged(self) -> bool:
        """True if there is anything that can't be read, and is kept."""
        return bool(self.lost) or os.path.lexists(self.aside)

    def damage(self) -> Iterator[bytes]:
        """Give all that can't be read: what was set aside, and then the lines in the file."""
        with suppress(FileNotFoundError), reading(self.aside) as fd:
            size = os.fstat(fd).st_size
            yield from data_of(fd, 0, size)
            if size and os.pread(fd, 1, size - 1) != b"\n":
                yield b"\n"
        if self.lost:
            with reading(self.path) as fd:
                for offset in self.lost:
                    length = length_of(line_at(fd, offset, self.size))
                    yield from pieces_of(fd, offset, offset + length)
                    yield b"\n"

    def lines(self) -> Iterator[bytes]:
        """Give the turns' lines, each with its line feed, as whole appends of one turn."""
        if not self.places:
            return
        wanted = iter([*self.places, -1])
        offset = next(wanted)
        with reading(self.path) as fd:
            for at, line in lines_forward(fd, offset, self.size):
                if at == offset:
                    yield without_more(line) + b"\n"
                    offset = next(wanted)


def whole_of(folder: Path, key: SessionKey) -> Whole:
    """Read all of a session's file, or nothing where there is none."""
    path = session_path(folder, key)
    whole = Whole(path)
    with suppress(FileNotFoundError), reading(path) as fd:
        tail = read_tail(fd, key, limit=0)
        whole.size, whole.earlier = tail.size, tail.earlier
        ids: list[int] = []
        places: list[int] = []
        damaged: list[int] = []
        for offset, line in _considerately(lines_forward(fd, 0, tail.size)):
            found = decode_line(line)
            if isinstance(found, Turn):
                ids.append(found.id)
                places.append(offset)
            elif found is DAMAGED:
                damaged.append(offset)
        kept = ascending(ids)
        whole.places = places
        if len(kept) < len(places):
            whole.places = [places[at] for at in kept]
            damaged += {*places}.difference(whole.places)
        # A line that can't be read can't move into the joined file: it is kept beside it.
        whole.lost = sorted(damaged)
        if tail.info is not None:
            last_id = max(tail.info.last_id, ids[kept[-1]] if kept else 0)
            whole.info = replace(tail.info, turns=len(kept), last_id=last_id)
    return whole


def _considerately(lines: Iterator[T]) -> Iterator[T]:
    """Give all of these, and the interpreter to the other threads every now and then.

    It would give it up every 5 ms by itself, but a write needs it several times.
    """
    for count, line in enumerate(lines):
        if count % LINES_AT_ONCE == 0:
            sleep(PAUSE_SECONDS)
        yield line


def lines_of_both(older: Whole, newer: Whole, ids: int, epochs: int) -> Iterator[bytes]:
    """Give the lines of both sessions, the turns of the newer one in their new places."""
    yield from _considerately(older.lines())
    for line in _considerately(newer.lines()):
        turn = decode_line(line) if ids or epochs else None
        yield encode_turn(shifted(turn, ids, epochs, "")) if isinstance(turn, Turn) else line
