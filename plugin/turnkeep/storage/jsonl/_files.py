"""What is done to whole files: opened, written anew, moved, removed.

All functions block, run on worker threads, and are called with the session's lock held. A
file that is written anew is written beside, synced, and put in place by one rename, so that
a crash leaves the old one or the new one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import msgspec

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import SessionInfo
from ..jsonl import _listing, _nanobot
from ._disk import (
    copy_bytes,
    lines_set_aside,
    make_folder,
    make_folders,
    reading,
    set_aside,
    sync_folder,
    writing_anew,
)
from ._journal import Journal, replay
from ._lines import DAMAGED, decode_line, encode_metadata, encode_turn
from ._names import ALIAS_SUFFIX, DAMAGED_SUFFIX, session_path
from ._nanobot import Foreign
from ._read import (
    Tail,
    find_source,
    info_at,
    line_at,
    lines_backward,
    lines_forward,
    offset_of,
    read_tail,
    turns_forward,
)
from ._rename import Renaming, alias_of, write_session
from ._writer import FileChanged

logger: Final = logging.getLogger("turnkeep")

WORKPLACE: Final = ".turnkeep"


@dataclass
class Alias:
    """The session has moved: `key` is what it is called now."""

    key: SessionKey


@dataclass(frozen=True)
class Place:
    """A file as it was read: so long, and the same one still."""

    path: Path
    size: int
    inode: int
    """0 if it was not there yet."""


class Folder:
    """The files of one folder."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self.workplace = path / WORKPLACE
        self.read_only = read_only
        self.journal = Journal(path, self.workplace)
        self._renaming = Renaming(path, self.workplace)
        self._foreign: dict[SessionKey, list[Path]] = {}
        self._damage: dict[Path, set[int]] = {}
        """Where damaged lines were met; a torn end, which moves away, as `~offset`."""

    # The folder as a whole.

    def make(self) -> None:
        """Makes the folder, its parents too, and its own corner in it."""
        make_folders(self.workplace)

    def settle(self) -> None:
        """Finishes what a crash left unfinished; the folder is owned."""
        if not self.read_only:
            names = os.listdir(self.workplace)  # noqa: PTH208 - a bot that starts waits for this
            replay(self.path, self.workplace, names)
            self._renaming.settle()
            for name in names:
                if name.endswith(".tmp"):
                    (self.workplace / name).unlink(missing_ok=True)
        self._foreign = _nanobot.index(self.path) if self.path.is_dir() else {}

    # One session.

    def load(self, key: SessionKey, limit: int, write: bool) -> Tail | Alias | Foreign | None:
        """The end of a session's file, or where else it is; None if it is nowhere.

        With `write` the next line can be added to the file; else it is tried.
        """
        if not self.read_only:
            self._renaming.finish(key)
        path = session_path(self.path, key)
        try:
            fd = os.open(path, os.O_RDONLY if self.read_only else os.O_RDWR)
        except FileNotFoundError:
            return self._elsewhere(key, path)
        try:
            tail = self._tail(fd, path, key, limit)
            if not self.read_only:
                self._mend(fd, path, tail, write)
        finally:
            os.close(fd)
        return tail

    def info(self, path: Path, key: SessionKey) -> SessionInfo | None:
        """The record of a session that is in this file."""
        try:
            with reading(path) as fd:
                return self._tail(fd, path, key, 1).info
        except FileNotFoundError:
            return None  # forgotten meanwhile

    def read(
        self,
        key: SessionKey,
        place: Place,
        *,
        after: int,
        before: int | None,
        limit: int | None,
        newest: bool,
    ) -> tuple[list[Turn], int]:
        """Turns from anywhere in a file, ascending, and how many places are damaged now.

        Raises `FileChanged` if the file is not the one that was read.
        """
        turns: list[Turn] = []
        damaged: list[int] = []
        with _reading(place) as fd:
            if newest:
                below = before
                end = place.size if before is None else offset_of(fd, place.size, before)
                for start, line in lines_backward(fd, end):
                    if limit is not None and len(turns) >= limit:
                        break
                    turn = decode_line(line)
                    if turn is DAMAGED:
                        damaged.append(start)
                    elif isinstance(turn, Turn) and (below is None or turn.id < below):
                        if turn.id <= after:
                            break
                        turns.append(turn)
                        below = turn.id
                turns.reverse()
            else:
                first = offset_of(fd, place.size, after + 1)
                for start, found in turns_forward(fd, first, place.size):
                    if limit is not None and len(turns) >= limit:
                        break
                    if not isinstance(found, Turn):
                        damaged.append(start)
                    elif (turn := found).id > after:
                        if before is not None and turn.id >= before:
                            break
                        turns.append(turn)
        self._report(key, place.path, damaged)
        return turns, self._damaged(place.path)

    def find(self, place: Place, source_id: str) -> Turn | None:
        with _reading(place) as fd:
            return find_source(fd, place.size, source_id)

    def rewrite(
        self, place: Place, changes: Mapping[int, Turn | None], info: SessionInfo, op: str
    ) -> None:
        """Writes a file anew with some turns changed or left out, and the record at its end.

        Every other line, damaged ones too, stays as it is, to the byte.
        """
        path, size = place.path, place.size
        self.journal.release(path)
        moved = [(0, 0)]
        with _reading(place) as source, self._writing_anew(path) as target:
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
        if path in self._damage:
            self._damage[path] = {
                met if met < 0 else met + next(by for start, by in reversed(moved) if start <= met)
                for met in self._damage[path]
            }

    def write(self, path: Path, info: SessionInfo, foreign: Foreign | None, op: str) -> None:
        """Writes a whole session's file: empty, or with what was in a nanobot file."""
        self.journal.release(path)
        if make_folder(path.parent):
            sync_folder(self.path)
        with self._writing_anew(path) as target:
            write_session(target, info, foreign.turns if foreign else [], op)
        self._damage.pop(path, None)
        if foreign is not None:
            set_aside(path.with_suffix(DAMAGED_SUFFIX), foreign.damaged)

    def remove(self, key: SessionKey) -> bool:
        """Removes all files of a session, a nanobot file that it came from too."""
        path = session_path(self.path, key)
        self.journal.release(path)
        # The session's own file goes last: while it is there, no older one comes back.
        there = [*self._side_files(key, path), path]
        gone = [file for file in there if file.exists()]
        for file in gone:
            file.unlink()
        self._damage.pop(path, None)
        _sync_folders(gone)
        return bool(gone)

    def remove_side_files(self, key: SessionKey) -> None:
        """Removes what was set aside of a session, and the nanobot file that it came from."""
        path = session_path(self.path, key)
        gone = [file for file in self._side_files(key, path) if file.exists()]
        for file in gone:
            file.unlink()
        _sync_folders(gone)

    def remove_alias(self, key: SessionKey) -> None:
        alias = session_path(self.path, key).with_suffix(ALIAS_SUFFIX)
        if alias.exists():
            alias.unlink()
            sync_folder(alias.parent)

    def sessions(
        self, prefix: str, limit: int | None, after: SessionInfo | None
    ) -> list[SessionInfo]:
        """One page of the sessions, the last written first; opens only the files of the page."""
        if not self.read_only:
            self._renaming.finish()
        foreign = {key: files[-1] for key, files in self._foreign.items()}
        return _listing.page(self.path, foreign, self.info, prefix, limit, after)

    def rename(self, old: SessionKey, new: SessionKey) -> None:
        """Moves a session's file and leaves an alias; where both have turns, joins them."""
        for key in (old, new):
            self.journal.release(session_path(self.path, key))
        try:
            self._renaming.rename(old, new)
        finally:
            for key in (old, new):
                self._damage.pop(session_path(self.path, key), None)

    # Details.

    def _elsewhere(self, key: SessionKey, path: Path) -> Alias | Foreign | None:
        moved_to = alias_of(path)
        if moved_to is not None:
            return Alias(moved_to)
        for file in reversed(self._foreign.get(key, ())):
            if file.exists():
                found = _nanobot.load(file, key)
                if found.damaged and self._is_news(file, -1):
                    logger.warning(
                        "session %s: %d lines of %s can't be read; they are skipped and kept",
                        key,
                        len(found.damaged),
                        file,
                    )
                return found
        return None

    def _tail(self, fd: int, path: Path, key: SessionKey, limit: int) -> Tail:
        tail = read_tail(fd, key, limit=limit)
        self._report(key, path, tail.damaged)
        if tail.torn and self._is_news(path, ~tail.size):
            logger.warning(
                "session %s: its last lines were torn (%d bytes), as a crash leaves them; %s",
                key,
                len(tail.torn),
                "it is ignored" if self.read_only else f"set aside in {path.stem}{DAMAGED_SUFFIX}",
            )
        tail.met = self._damaged(path) + bool(tail.torn)
        if tail.info is not None:
            tail.info = msgspec.structs.replace(tail.info, damaged=tail.met)
        return tail

    def _mend(self, fd: int, path: Path, tail: Tail, write: bool) -> None:
        """Makes the file end with a whole line, so that the next one can be added."""
        try:
            if tail.unended:
                os.pwrite(fd, b"\n", tail.size)
                tail.size += 1
                tail.since_metadata += 1
            elif tail.torn:
                set_aside(path.with_suffix(DAMAGED_SUFFIX), [tail.torn])
                os.ftruncate(fd, tail.size)
        except OSError:
            # Who only reads needs no whole last line, and a full disk must not stop him.
            if write:
                raise
            tail.unmended = True

    def _report(self, key: SessionKey, path: Path, damaged: Iterable[int]) -> None:
        """Logs what is damaged, once a place, and in one line however much it is."""
        news = sorted(offset for offset in damaged if self._is_news(path, offset))
        if news:
            logger.warning(
                "session %s: lines of %s can't be read and are skipped and kept: %d, at byte %d%s",
                key,
                path,
                len(news),
                news[0],
                " and behind" if news[1:] else "",
            )

    def _is_news(self, path: Path, place: int) -> bool:
        met = self._damage.setdefault(path, set())
        if place in met:
            return False
        met.add(place)
        return True

    def _damaged(self, path: Path) -> int:
        """How many places are damaged: those met in the file, and those set aside."""
        met = sum(1 for place in self._damage.get(path, ()) if place >= 0)
        return met + len(lines_set_aside(path.with_suffix(DAMAGED_SUFFIX)))

    def _side_files(self, key: SessionKey, path: Path) -> list[Path]:
        foreign = [
            file
            for other, files in self._foreign.items()
            if other == key or self._leads_to(other, key)
            for file in files
        ]
        return [*foreign, path.with_suffix(DAMAGED_SUFFIX)]

    def _leads_to(self, other: SessionKey, key: SessionKey) -> bool:
        """Whether `other` is an alias of `key`."""
        passed = set()
        at: SessionKey | None = other
        while at is not None and at not in passed:
            passed.add(at)
            path = session_path(self.path, at)
            at = None if path.exists() else alias_of(path)
            if at == key:
                return True
        return False

    def _writing_anew(self, path: Path) -> AbstractContextManager[IO[bytes]]:
        return writing_anew(path, self.workplace)


@contextmanager
def _reading(place: Place) -> Generator[int]:
    """A descriptor to read the file; `FileChanged` if it is another one, or gone, or shorter."""
    try:
        fd = os.open(place.path, os.O_RDONLY)
    except FileNotFoundError:
        raise FileChanged from None
    try:
        stat = os.fstat(fd)
        if stat.st_size < place.size or (place.inode and stat.st_ino != place.inode):
            raise FileChanged
        yield fd
    finally:
        os.close(fd)


def _places(fd: int, size: int, ids: Iterable[int]) -> list[tuple[int, int, int]]:
    """Where the turns with these ids are: offset, length with the line feed, id; in order."""
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


def _sync_folders(files: Iterable[Path]) -> None:
    for folder in {file.parent for file in files}:
        sync_folder(folder)
