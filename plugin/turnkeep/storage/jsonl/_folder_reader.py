"""Reading one session's file, or finding where else the session is.

All functions block, run on worker threads, and are called with the session's lock held.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from time import sleep
from typing import Final, TypeVar

import msgspec

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import MAX_METADATA_BYTES, SessionInfo
from ..jsonl import _listing, _nanobot
from ._alias import alias_of, alias_path
from ._blocks import lines_backward
from ._damage import Damage
from ._disk import (
    UnsyncedError,
    close_file,
    is_marked,
    modified_microseconds,
    open_file,
    pieces_of,
    reading,
    set_aside,
    set_modified,
)
from ._edits import Edits
from ._index import Index
from ._lines import DAMAGED, decode_line, of_generation
from ._names import DAMAGED_SUFFIX, session_path
from ._nanobot import Foreign
from ._place import Alias, Place, reading_place
from ._read import Tail, offset_of, read_tail, turns_forward
from ._rename import Renaming
from ._search import find_latest, is_absent

T = TypeVar("T")
logger: Final = logging.getLogger("turnkeep")

WORKPLACE: Final = ".turnkeep"
STEADY_TRIES: Final = 5
MOST_TRIES: Final = 200
"""After so many reads that met a change, the last one counts: somebody writes without end."""

PAUSE_SECONDS: Final = 0.001
_MAY_NOT_WRITE: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


class FolderReader:
    """The files of one folder, as far as they are read."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self.workplace = path / WORKPLACE
        self.read_only = read_only
        self.edits = Edits(path, self.workplace)
        self.index = Index(path)
        self._renaming = Renaming(path, self.workplace, self.edits, self.index.touch)
        self._foreign: dict[SessionKey, list[Path]] = {}
        self._damage = Damage()
        self._told: dict[Path, tuple[int, datetime]] = {}
        """When files were written, as they say, whose time of change is not ours."""

    def load(self, key: SessionKey, limit: int, write: bool) -> Tail | Alias | Foreign | None:
        """Return the end of a session's file, or where else it is; None if it is nowhere.

        With `write` the next line can be added to the file; else it is tried.
        """
        if not self.read_only:
            self._renaming.finish(key)
        path = session_path(self.path, key)
        if not self.read_only:
            try:
                self.edits.finish(path)
            except UnsyncedError:
                if write:
                    raise
        read_only = self.read_only
        try:
            try:
                fd = open_file(path, os.O_RDONLY if read_only else os.O_RDWR)
            except OSError as error:
                if write or read_only or error.errno not in _MAY_NOT_WRITE:
                    raise
                fd, read_only = open_file(path, os.O_RDONLY), True
        except FileNotFoundError:
            return self._elsewhere(key)
        try:
            tail = self._tail(fd, path, key, limit)
            if not read_only:
                self._mend(fd, path, key, tail, write)
            tail.unmended = tail.unmended or (read_only and not self.read_only)
        finally:
            close_file(fd)
        return tail

    def info(self, path: Path, key: SessionKey) -> SessionInfo | None:
        """Return the record of a session that is in this file; None if it can't be read."""
        try:
            with reading(path) as fd:
                info = self._tail(fd, path, key, 0).info
                if info is not None and not is_marked(status := os.fstat(fd)):
                    self._told[path] = status.st_mtime_ns, info.updated_at
                    if not self.read_only:
                        set_modified(fd, info.updated_at)
                return info
        except FileNotFoundError:
            return None  # forgotten meanwhile
        except OSError as error:
            self._damage.report_unreadable(path, error)
            return None

    def pass_over(self, path: Path, error: OSError) -> None:
        """Log, once, that a file or folder was passed over."""
        self._damage.report_unreadable(path, error)

    def written(self, item: _listing.Item, status: os.stat_result) -> int | None:
        """Return when a file was written, in microseconds, as far as its time of change tells."""
        if is_marked(status):
            return modified_microseconds(status)
        told = self._told.get(item.path)
        if told is None or told[0] != status.st_mtime_ns:
            return None
        return _listing.microseconds(told[1])

    def read(
        self,
        info: SessionInfo | None,
        place: Place,
        *,
        after: int,
        before: int | None,
        limit: int | None,
        newest: bool,
    ) -> tuple[list[Turn], bool, int]:
        """Return turns of anywhere in a file, whether these are all, and the damage so far.

        Raises `FileChanged` if the file is not the one that was read.
        """
        with reading_place(place) as fd:
            reading = partial(_select, fd, place.size, after, before, limit, newest=newest)
            turns, complete, damaged = self._steadily(fd, place.path, reading)
        if info is not None:
            self._damage.report(info.key, place.path, damaged)
            for turn in turns:
                of_generation(turn, info.generation)
        return turns, complete, self._damage.count(place.path)

    def find(self, place: Place, source_id: str) -> Turn | None:
        """Return the latest turn with this source id, without its generation."""
        with reading_place(place) as fd:
            return find_latest(fd, place.size, source_id)

    def lacks(self, place: Place, needles: Sequence[bytes], turns: int) -> bool:
        """Return True if none of these bytes are in the file's latest so many turns."""
        with reading_place(place) as fd:
            return is_absent(fd, place.size, needles, turns)

    # Details.

    def _elsewhere(self, key: SessionKey) -> Alias | Foreign | None:
        alias = alias_path(self.path, key)
        if os.path.lexists(alias):  # most have none, and to open what is not there costs more
            moved_to = alias_of(alias)
            if moved_to is not None:
                return Alias(moved_to)
            if alias_of(alias, unlinked=True) is not None:
                return None  # what nanobot's file has was moved away
        for file in reversed(self._foreign.get(key, ())):
            if file.exists():
                found = _nanobot.load(file, key)
                if found.damaged and self._damage.is_news(file, -1):
                    logger.warning(
                        "session %s: %d lines of %s can't be read; they are skipped and kept",
                        key,
                        len(found.damaged),
                        file,
                    )
                return found
        return None

    def _steadily(self, fd: int, path: Path, read: Callable[[], T]) -> T:
        """Return what is read of a file that nobody changes in its place meanwhile.

        In another process such a change shows in the times of the file.
        """
        tries = 0
        while True:
            before = self.edits.steady(path), self._settled(fd)
            found = read()
            tries += 1
            if before == (self.edits.steady(path), self._times(fd)) or tries == MOST_TRIES:
                return found
            if tries >= STEADY_TRIES:
                sleep(PAUSE_SECONDS)  # the writer may wait for this processor

    def _times(self, fd: int) -> tuple[int, int] | None:
        """Return what shows that another process wrote to a file; None if that is not looked at."""
        if not self.read_only:
            return None
        status = os.fstat(fd)
        return status.st_mtime_ns, status.st_size

    def _settled(self, fd: int) -> tuple[int, int] | None:
        """Return the same once nobody writes: the last thing that a writer does is to mark it."""
        for _ in range(STEADY_TRIES):
            if not self.read_only or is_marked(os.fstat(fd)):
                break
            sleep(PAUSE_SECONDS)
        return self._times(fd)

    def _tail(self, fd: int, path: Path, key: SessionKey, limit: int) -> Tail:
        tail = self._steadily(fd, path, lambda: read_tail(fd, key, limit=limit))
        self._damage.report(key, path, tail.damaged)
        if tail.torn and self._damage.is_news(path, ~tail.size):
            logger.warning(
                "session %s: its last lines were torn (%d bytes), as a crash leaves them; %s",
                key,
                tail.torn,
                "it is ignored" if self.read_only else f"set aside in {path.stem}{DAMAGED_SUFFIX}",
            )
        tail.damaged_places = self._damage.count(path) + bool(tail.torn)
        if tail.info is not None:
            tail.info = msgspec.structs.replace(tail.info, damaged=tail.damaged_places)
            if len(msgspec.json.encode(tail.info.metadata)) > MAX_METADATA_BYTES:
                tail.info = msgspec.structs.replace(tail.info, metadata={})
                self._damage.report_foreign_metadata(path)
        return tail

    def _mend(self, fd: int, path: Path, key: SessionKey, tail: Tail, write: bool) -> None:
        """Make the file end with a whole line, so that the next one can be added."""
        if not (tail.unended or tail.torn):
            return
        try:
            if tail.unended:
                os.pwrite(fd, b"\n", tail.size)
                tail.size += 1
                tail.since_metadata += 1
            else:
                torn = pieces_of(fd, tail.size, tail.size + tail.torn)
                with self.index.touching(key):
                    set_aside(path.with_suffix(DAMAGED_SUFFIX), chain(torn, [b"\n"]))
                os.ftruncate(fd, tail.size)
            if tail.info is not None:
                set_modified(fd, tail.info.updated_at)  # nothing was said
            tail.modified = os.fstat(fd).st_mtime_ns
            os.fdatasync(fd)  # what is journaled from now on builds on this size
        except OSError:
            # Who only reads needs no whole last line, and a full disk must not stop them.
            if write:
                raise
            tail.unmended = True


def _select(
    fd: int, size: int, after: int, before: int | None, limit: int | None, *, newest: bool
) -> tuple[list[Turn], bool, list[int]]:
    """Return turns of anywhere in a file, whether these are all, and where damage was seen."""
    turns: list[Turn] = []
    damaged: list[int] = []
    complete = True
    if newest:
        below = before
        end = size if before is None else offset_of(fd, size, before)
        for start, line in lines_backward(fd, end):
            turn = decode_line(line)
            if turn is DAMAGED:
                damaged.append(start)
            elif isinstance(turn, Turn) and (below is None or turn.id < below):
                if turn.id <= after:
                    break
                if limit is not None and len(turns) >= limit:
                    complete = False
                    break
                turns.append(turn)
                below = turn.id
        turns.reverse()
    else:
        first = offset_of(fd, size, after + 1)
        for start, found in turns_forward(fd, first, size):
            if not isinstance(found, Turn):
                damaged.append(start)
            elif found.id > after:
                if before is not None and found.id >= before:
                    break
                if limit is not None and len(turns) >= limit:
                    complete = False
                    break
                turns.append(found)
    return turns, complete, damaged
