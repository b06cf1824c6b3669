"""What is done to whole files: opened, written anew, listed, moved, removed.

All functions block, run on worker threads, and are called with the session's lock held. A
file that is written anew is written beside, synced, and put in place by one rename, so that
a crash leaves the old one or the new one.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Final

import msgspec

from ..._key import SessionKey
from ..._turn import Turn
from ..base import SessionInfo, merged_info, shifted
from . import _nanobot
from ._lines import (
    METADATA_EVERY,
    MetadataLine,
    decode_line,
    encode_metadata,
    encode_turn,
)
from ._names import (
    ALIAS_SUFFIX,
    DAMAGED_SUFFIX,
    SUFFIX,
    channel_folder,
    key_of,
    session_path,
)
from ._read import (
    Tail,
    find_source,
    lines_backward,
    lines_forward,
    offset_of,
    read_tail,
)
from ._writer import FILE_MODE, make_folder, sync_folder

logger: Final = logging.getLogger("turnkeep")

WORKPLACE: Final = ".turnkeep"
RENAME_NAME: Final = "rename.json"


@dataclass
class Alias:
    """The session has moved: `key` is what it is called now."""

    key: SessionKey


@dataclass
class Foreign:
    """The session is still in a nanobot file."""

    path: Path
    info: SessionInfo
    turns: list[Turn]


class Folder:
    """The files of one folder."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self.workplace = path / WORKPLACE
        self.read_only = read_only
        self._foreign: dict[SessionKey, Path] = {}
        self._reported: set[tuple[Path, int]] = set()

    # The folder as a whole.

    def make(self) -> None:
        """Makes the folder, its parents too, and its own corner in it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        make_folder(self.path)
        make_folder(self.workplace)

    def settle(self) -> None:
        """Finishes what a crash left unfinished; the folder is owned."""
        if not self.read_only:
            if (self.workplace / RENAME_NAME).exists():
                self._finish_rename()
            for left_over in self.workplace.glob("*.tmp"):
                left_over.unlink()
        self._foreign = _nanobot.index(self.path) if self.path.is_dir() else {}

    # One session.

    def load(self, key: SessionKey, limit: int) -> Tail | Alias | Foreign | None:
        """The end of a session's file, or where else it is; None if it is nowhere."""
        path = session_path(self.path, key)
        try:
            fd = os.open(path, os.O_RDONLY if self.read_only else os.O_RDWR)
        except FileNotFoundError:
            return self._elsewhere(key, path)
        try:
            tail = read_tail(fd, key, limit=limit)
            if not self.read_only:
                self._mend(fd, path, tail)
        finally:
            os.close(fd)
        self._report(path, tail)
        return tail

    def read(
        self,
        path: Path,
        size: int,
        *,
        after: int,
        before: int | None,
        limit: int | None,
        newest: bool,
    ) -> list[Turn]:
        """Turns from anywhere in the first `size` bytes of a file, ascending."""
        turns: list[Turn] = []
        with _reading(path) as fd:
            if newest:
                end = size if before is None else offset_of(fd, size, before)
                for _, line in lines_backward(fd, end):
                    if limit is not None and len(turns) >= limit:
                        break
                    turn = decode_line(line)
                    if isinstance(turn, Turn):
                        if turn.id <= after:
                            break
                        turns.append(turn)
                turns.reverse()
                return turns
            for _, line in lines_forward(fd, offset_of(fd, size, after + 1), size):
                if limit is not None and len(turns) >= limit:
                    break
                turn = decode_line(line)
                if isinstance(turn, Turn) and turn.id > after:
                    if before is not None and turn.id >= before:
                        break
                    turns.append(turn)
        return turns

    def find(self, path: Path, size: int, source_id: str) -> Turn | None:
        with _reading(path) as fd:
            return find_source(fd, size, source_id)

    def rewrite(
        self, path: Path, size: int, changes: Mapping[int, Turn | None], record: bytes
    ) -> int:
        """Writes a file anew with some turns changed or left out, and `record` at its end.

        Returns its size. Every other line, damaged ones too, stays as it is, to the byte.
        """
        with _reading(path) as source, self._writing_anew(path) as target:
            position = 0
            for turn_id in sorted(changes):
                start = offset_of(source, size, turn_id)
                line = next((line for _, line in lines_forward(source, start, size)), b"")
                there = decode_line(line)
                if not isinstance(there, Turn) or there.id != turn_id:
                    continue
                _copy(source, target, position, start)
                position = start + len(line) + 1
                changed = changes[turn_id]
                if changed is not None:
                    target.write(encode_turn(changed))
            _copy(source, target, position, size)
            target.write(record)
            return target.tell()

    def write(self, path: Path, info: SessionInfo, turns: Sequence[Turn], op: str) -> None:
        """Writes a whole session's file."""
        make_folder(path.parent)
        with self._writing_anew(path) as target:
            _write_session(target, info, turns, op)

    def remove(self, key: SessionKey) -> bool:
        """Removes all files of a session, a nanobot file that it came from too."""
        path = session_path(self.path, key)
        there = [path, *self._side_files(key, path)]
        gone = [file for file in there if file.exists()]
        for file in gone:
            file.unlink()
        return bool(gone)

    def remove_side_files(self, key: SessionKey) -> None:
        """Removes what was set aside of a session, and the nanobot file that it came from."""
        for file in self._side_files(key, session_path(self.path, key)):
            file.unlink(missing_ok=True)

    def remove_alias(self, key: SessionKey) -> None:
        session_path(self.path, key).with_suffix(ALIAS_SUFFIX).unlink(missing_ok=True)

    # All sessions.

    def sessions(
        self, prefix: str, limit: int | None, after: SessionInfo | None
    ) -> list[SessionInfo]:
        """One page of the sessions, the last written first; opens only the files of the page."""
        place = None if after is None else (-_microseconds(after.updated_at), after.key.text)
        found: list[tuple[int, str, Path, SessionKey | None]] = []
        here: set[Path] = set()
        for channel in self._channels(prefix):
            for entry in os.scandir(channel):
                if not entry.name.endswith((SUFFIX, ALIAS_SUFFIX)):
                    continue
                path = Path(entry.path)
                if self._foreign:
                    here.add(path.with_suffix(SUFFIX))
                if entry.name.endswith(ALIAS_SUFFIX):
                    continue
                key = key_of(path.parent.name, path.stem) or _recorded_key(path)
                if key is not None and key.text.startswith(prefix):
                    written = entry.stat().st_mtime_ns // 1000
                    found.append((-written, key.text, path, key))
        infos = [
            info
            for key, path in self._foreign.items()
            if key.text.startswith(prefix) and session_path(self.path, key) not in here
            if path.exists()
            for info, _ in (_nanobot.load(path, key),)
        ]
        found += [(-_microseconds(info.updated_at), info.key.text, Path(), None) for info in infos]
        foreign = {info.key.text: info for info in infos}
        found.sort(key=lambda item: item[:2])
        page: list[SessionInfo] = []
        for written, text, path, key in found:
            if place is not None and (written, text) <= place:
                continue
            if limit is not None and len(page) >= limit:
                break
            info = foreign[text] if key is None else self._info(path, key)
            if info is not None:
                page.append(info)
        return page

    def _info(self, path: Path, key: SessionKey) -> SessionInfo | None:
        try:
            with _reading(path) as fd:
                return read_tail(fd, key, limit=1).info
        except FileNotFoundError:
            return None  # forgotten meanwhile

    def _channels(self, prefix: str) -> Iterable[Path]:
        if not self.path.is_dir():
            return []
        channel, colon, _ = prefix.partition(":")
        if colon:
            folder = self.path / channel_folder(channel)
            return [folder] if folder.is_dir() else []
        return [
            Path(entry.path)
            for entry in os.scandir(self.path)
            if entry.is_dir() and entry.name != WORKPLACE
        ]

    # Renaming: an intent is written first, so that a crash in the middle is finished later.

    def rename(self, old: SessionKey, new: SessionKey) -> None:
        """Moves a session's file and leaves an alias; where both have turns, joins them."""
        self._note_rename({"old": old.text, "new": new.text, "joined": False})
        self._finish_rename()

    def _finish_rename(self) -> None:
        try:
            intent = json.loads((self.workplace / RENAME_NAME).read_bytes())
            old, new = SessionKey.parse(intent["old"]), SessionKey.parse(intent["new"])
        except (ValueError, KeyError, TypeError):
            # It is written in place by a rename, so it is whole or not there; this is damage.
            logger.error("%s: unreadable; a rename may be half done", self.workplace / RENAME_NAME)
            (self.workplace / RENAME_NAME).replace(self.workplace / (RENAME_NAME + ".damaged"))
            return
        source, target = session_path(self.path, old), session_path(self.path, new)
        joined = self.workplace / "joined.session"
        make_folder(source.parent)
        make_folder(target.parent)
        if not intent["joined"] and source.exists():
            self._join(old, new, joined)
            self._note_rename({**intent, "joined": True})
            intent["joined"] = True
        if intent["joined"] and joined.exists():
            joined.replace(target)
        self._put(source.with_suffix(ALIAS_SUFFIX), f"{json.dumps({'moved_to': new.text})}\n")
        if intent["joined"]:
            source.unlink(missing_ok=True)
        for folder in {source.parent, target.parent}:
            sync_folder(folder)
        (self.workplace / RENAME_NAME).unlink()

    def _join(self, old: SessionKey, new: SessionKey, joined: Path) -> None:
        """Writes the file that `new` is to have."""
        info, turns = self._whole(old)
        there = self._whole(new) if session_path(self.path, new).exists() else None
        if there is None:
            info = msgspec.structs.replace(info, key=new)
        else:
            turns += [shifted(turn, info.last_id, info.epoch) for turn in there[1]]
            info = merged_info(info, there[0])
        with self._writing_anew(joined) as target:
            _write_session(target, info, turns, "rename")

    def _whole(self, key: SessionKey) -> tuple[SessionInfo, list[Turn]]:
        path = session_path(self.path, key)
        with _reading(path) as fd:
            tail = read_tail(fd, key, limit=os.fstat(fd).st_size)
        if tail.info is None:
            now = datetime.now(timezone.utc)
            return SessionInfo(key=key, created_at=now, updated_at=now), []
        # A line that can't be read can't move into the joined file: it is kept beside it.
        for offset in tail.damaged:
            with _reading(path) as fd:
                line = next(line for _, line in lines_forward(fd, offset, tail.size))
            self._set_aside(path, line + b"\n")
        return tail.info, tail.turns

    def _note_rename(self, intent: Mapping[str, object]) -> None:
        self._put(self.workplace / RENAME_NAME, json.dumps(intent) + "\n")

    # Details.

    def _elsewhere(self, key: SessionKey, path: Path) -> Alias | Foreign | None:
        try:
            moved = json.loads(path.with_suffix(ALIAS_SUFFIX).read_bytes())
            return Alias(SessionKey.parse(moved["moved_to"]))
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError):
            logger.error("%s: unreadable alias, ignored", path.with_suffix(ALIAS_SUFFIX))
        foreign = self._foreign.get(key)
        if foreign is None or not foreign.exists():
            return None
        return Foreign(foreign, *_nanobot.load(foreign, key))

    def _mend(self, fd: int, path: Path, tail: Tail) -> None:
        """Makes the file end with a whole line, so that the next one can be added."""
        if tail.unended:
            os.pwrite(fd, b"\n", tail.size)
            tail.size += 1
            tail.since_metadata += 1
        elif tail.torn:
            self._set_aside(path, tail.torn + b"\n")
            os.ftruncate(fd, tail.size)

    def _set_aside(self, path: Path, data: bytes) -> None:
        beside = path.with_suffix(DAMAGED_SUFFIX)
        fd = os.open(beside, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
        try:
            os.write(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)

    def _report(self, path: Path, tail: Tail) -> None:
        """Logs what is damaged, once a place."""
        if tail.torn and (path, -1) not in self._reported:
            self._reported.add((path, -1))
            logger.warning(
                "session %s: its last line was torn (%d bytes), as a crash leaves it; %s",
                tail.info.key if tail.info else path,
                len(tail.torn),
                "it is ignored" if self.read_only else f"set aside in {path.stem}{DAMAGED_SUFFIX}",
            )
        for offset in tail.damaged:
            if (path, offset) not in self._reported:
                self._reported.add((path, offset))
                logger.warning(
                    "session %s: the line at byte %d of %s can't be read; it is skipped and kept",
                    tail.info.key if tail.info else "?",
                    offset,
                    path,
                )

    def _side_files(self, key: SessionKey, path: Path) -> list[Path]:
        foreign = self._foreign.get(key)
        return [path.with_suffix(DAMAGED_SUFFIX), *([foreign] if foreign else [])]

    def _put(self, path: Path, text: str) -> None:
        with self._writing_anew(path) as target:
            target.write(text.encode())

    @contextmanager
    def _writing_anew(self, path: Path) -> Iterator[IO[bytes]]:
        """A file that takes the place of `path`, whole and synced, if the block succeeds."""
        beside = self.workplace / f"{os.getpid()}-{id(path):x}.tmp"
        try:
            with open(
                beside,
                "wb",
                opener=lambda name, _: os.open(
                    name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE
                ),
            ) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def _write_session(target: IO[bytes], info: SessionInfo, turns: Sequence[Turn], op: str) -> None:
    record = encode_metadata(info, op)
    target.write(record)
    since = 0
    for turn in turns:
        line = encode_turn(turn)
        if since and since + len(line) > METADATA_EVERY:
            # The last metadata line says all there is to say, and counts what stands before it.
            target.write(record)
            since = 0
        target.write(line)
        since += len(line)
    target.write(record)


@contextmanager
def _reading(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def _copy(source: int, target: IO[bytes], start: int, end: int) -> None:
    while start < end:
        data = os.pread(source, min(1024 * 1024, end - start), start)
        if not data:
            return
        target.write(data)
        start += len(data)


def _recorded_key(path: Path) -> SessionKey | None:
    """The key that a file with a cut name has in its first metadata line."""
    with path.open("rb") as file:
        record = decode_line(file.readline().rstrip(b"\n"))
    if not isinstance(record, MetadataLine):
        return None
    with suppress(ValueError):
        key = SessionKey.parse(record.key)
        return key if session_path(path.parent.parent, key) == path else None
    return None


def _microseconds(time: datetime) -> int:
    return round(time.timestamp() * 1e6)
