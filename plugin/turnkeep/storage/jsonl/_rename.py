"""Renaming a session: an intent is written first, so that a crash in the middle is finished.

All that can fail for want of space comes before the first change to a session's own file.
What is left undone there, by a crash or a failure, is done before anything else is. Both
files are read line by line, so that a long session holds up nobody.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from threading import Lock
from time import sleep
from typing import IO, Final, TypeVar

import msgspec

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import SessionInfo, merged
from ..rules import shifted
from . import _clock
from ._alias import alias_of, alias_path, write_alias
from ._blocks import length_of, line_at, lines_forward
from ._disk import (
    IrregularFileError,
    UnsyncedError,
    make_folders,
    pieces_of,
    read_side_file,
    reading,
    remove,
    sync_folder,
    writing_anew,
)
from ._lines import DAMAGED, decode_line, encode_turn, without_more
from ._names import DAMAGED_SUFFIX, session_path
from ._read import ascending, read_tail
from ._rewrite import write_session

T = TypeVar("T")
logger: Final = logging.getLogger("turnkeep")
replace: Final = msgspec.structs.replace

LINES_AT_ONCE: Final = 32
PAUSE_SECONDS: Final = 0.0001
INTENT_NAME: Final = "rename.json"
JOINED_NAME: Final = "joined.session"
JOINED_DAMAGED_NAME: Final = "joined.damaged"


@dataclass
class _Whole:
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
            yield from pieces_of(fd, 0, size)
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


class Renaming:
    """The renames of one folder, one at a time."""

    def __init__(
        self, folder: Path, workplace: Path, touch: Callable[[Sequence[SessionKey]], None]
    ) -> None:
        self.finished = 0
        """The number of renames, for those who look through the folder meanwhile."""
        self._folder = folder
        self._workplace = workplace
        self._touch = touch
        """Takes note that these sessions moved."""
        self._intent = workplace / INTENT_NAME
        self._joined = workplace / JOINED_NAME
        self._joined_damaged = workplace / JOINED_DAMAGED_NAME
        self._pending: frozenset[SessionKey] = frozenset()
        self._finishing = Lock()

    def settle(self) -> None:
        """Finish what a crash left, and take away what no rename needs."""
        self._finish()
        self._drop_joined()

    def finish(self, key: SessionKey | None = None) -> None:
        """Finish a rename (of this session) that failed past the point of no return."""
        if self._pending and (key is None or key in self._pending):
            with self._finishing:
                if self._pending:
                    self._finish()
                    self._pending = frozenset()

    def rename(self, old: SessionKey, new: SessionKey) -> None:
        """Move a session's file and leave an alias; where both have turns, join them.

        Raises `UnsyncedError` where it failed and will be finished all the same.
        """
        self.finish()
        intent = {"old": old.text, "new": new.text, "joined": False}
        alias = alias_path(self._folder, old)
        before = read_side_file(alias) if os.path.lexists(alias) else None
        try:
            self._note(intent)
            self._prepare(intent)
        except OSError as error:
            try:
                self._undo(alias, before)
            except OSError:
                self._pending = frozenset((old, new))
                raise UnsyncedError(*error.args) from error
            raise OSError(*error.args) from error
        self._pending = frozenset((old, new))
        try:
            self.finish()
        except OSError as error:
            raise UnsyncedError(*error.args) from error

    def _undo(self, alias: Path, before: bytes | None) -> None:
        """Leave nothing of a rename that changed no session's file yet."""
        if before is None:
            remove(alias)
        else:
            with self._writing(alias) as file:
                file.write(before)
        noted = remove(self._intent)
        self._drop_joined()
        if noted:
            sync_folder(self._workplace)

    def _finish(self) -> None:
        if not os.path.lexists(self._intent):
            return  # it was undone
        try:
            intent = json.loads(read_side_file(self._intent))
            old, new = SessionKey.parse(intent["old"]), SessionKey.parse(intent["new"])
            joined = bool(intent["joined"])
        except (ValueError, KeyError, TypeError, RecursionError, IrregularFileError):
            # It is put in place whole, so this is damage, and the old state is all there is.
            logger.error("%s: unreadable; a rename may be half done", self._intent)
            self._intent.replace(self._intent.with_suffix(DAMAGED_SUFFIX))
            return
        source, target = session_path(self._folder, old), session_path(self._folder, new)
        if not joined:
            joined = self._prepare(intent)
        if joined:
            if self._joined_damaged.exists():
                self._joined_damaged.replace(target.with_suffix(DAMAGED_SUFFIX))
            if self._joined.exists():
                self._joined.replace(target)
            # Only where the source is gone is the alias followed.
            source.with_suffix(DAMAGED_SUFFIX).unlink(missing_ok=True)
            source.unlink(missing_ok=True)
        back = alias_path(self._folder, new)
        if alias_of(back) is not None:  # the session comes back to what was its alias
            remove(back)
        for folder in {source.parent, target.parent}:
            sync_folder(folder)
        self._intent.unlink()
        self._touch((old, new))
        self.finished += 1

    def _prepare(self, intent: Mapping[str, object]) -> bool:
        """Write all that is new; False if there is no file to move."""
        old, new = (SessionKey.parse(str(intent[name])) for name in ("old", "new"))
        source, target = session_path(self._folder, old), session_path(self._folder, new)
        make_folders(source.parent)
        make_folders(target.parent)
        there = source.exists()
        if there:
            self._join(old, new)
        write_alias(alias_path(self._folder, old), self._workplace, new, key=old)
        if there:
            self._note({**intent, "joined": True})
        return there

    def _join(self, old: SessionKey, new: SessionKey) -> None:
        """Write the files that `new` is to have."""
        moved, there = self._whole(old), self._whole(new)
        ids = epochs = 0
        earlier = moved.earlier + there.earlier
        info = moved.info or there.info
        if moved.info is not None and there.info is not None:
            info, ids, epochs = merged(moved.info, there.info)
            if epochs:  # all that moves is of earlier epochs now
                earlier = moved.info.turns + there.earlier
        if moved.is_damaged or there.is_damaged:
            with self._writing(self._joined_damaged) as file:
                file.writelines(chain(moved.damage(), there.damage()))
        now = _clock.now()
        with writing_anew(self._joined, self._workplace, now) as file:
            if info is not None:
                info = replace(info, key=new, updated_at=now)
                lines = _lines(moved, there, ids, epochs)
                write_session(file, info, earlier, lines, "rename")

    def _whole(self, key: SessionKey) -> _Whole:
        path = session_path(self._folder, key)
        whole = _Whole(path)
        with suppress(FileNotFoundError), reading(path) as fd:
            tail = read_tail(fd, key, limit=0)
            whole.size = tail.size
            whole.earlier = tail.earlier
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

    def _note(self, intent: Mapping[str, object]) -> None:
        with self._writing(self._intent) as file:
            file.write(f"{json.dumps(intent)}\n".encode())

    def _drop_joined(self) -> None:
        remove(self._joined)
        remove(self._joined_damaged)

    def _writing(self, path: Path) -> AbstractContextManager[IO[bytes]]:
        return writing_anew(path, self._workplace)


def _considerately(lines: Iterator[T]) -> Iterator[T]:
    """Give all of these, and the interpreter to the other threads every now and then.

    It would give it up every 5 ms by itself, but a write needs it several times.
    """
    for count, line in enumerate(lines):
        if count % LINES_AT_ONCE == 0:
            sleep(PAUSE_SECONDS)
        yield line


def _lines(older: _Whole, newer: _Whole, ids: int, epochs: int) -> Iterator[bytes]:
    """Give the lines of both sessions, the turns of the newer one in their new places."""
    yield from _considerately(older.lines())
    for line in _considerately(newer.lines()):
        turn = decode_line(line) if ids or epochs else None
        yield encode_turn(shifted(turn, ids, epochs, "")) if isinstance(turn, Turn) else line
