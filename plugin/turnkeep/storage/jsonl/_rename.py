"""Renaming a session: an intent is written first, so that a crash in the middle is finished.

All that can fail for want of space comes before the first change to a session's own file.
What is left undone there, by a crash or a failure, is done before anything else is.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from threading import Lock
from typing import IO, Final

import msgspec

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import SessionInfo, merged_info, shifted
from ._disk import lines_set_aside, make_folders, reading, sync_folder, writing_anew
from ._lines import METADATA_EVERY, encode_metadata, encode_turn
from ._names import ALIAS_SUFFIX, DAMAGED_SUFFIX, session_path
from ._read import line_at, read_tail

logger: Final = logging.getLogger("turnkeep")

INTENT_NAME: Final = "rename.json"
JOINED_NAME: Final = "joined.session"
JOINED_DAMAGED_NAME: Final = "joined.damaged"


@dataclass
class _Whole:
    """All of a session's file."""

    info: SessionInfo
    turns: list[Turn]
    damaged: list[bytes]


class Renaming:
    """The renames of one folder, one at a time."""

    def __init__(self, folder: Path, workplace: Path) -> None:
        self._folder = folder
        self._workplace = workplace
        self._intent = workplace / INTENT_NAME
        self._joined = workplace / JOINED_NAME
        self._joined_damaged = workplace / JOINED_DAMAGED_NAME
        self._pending: frozenset[SessionKey] = frozenset()
        self._finishing = Lock()

    def settle(self) -> None:
        """Finishes what a crash left, and takes away what no rename needs."""
        if self._intent.exists():
            self._finish()
        self._drop_joined()

    def finish(self, key: SessionKey | None = None) -> None:
        """Finishes a rename (of this session) that failed past the point of no return."""
        if self._pending and (key is None or key in self._pending):
            with self._finishing:
                if self._pending:
                    self._finish()
                    self._pending = frozenset()

    def rename(self, old: SessionKey, new: SessionKey) -> None:
        """Moves a session's file and leaves an alias; where both have turns, joins them."""
        self.finish()
        intent = {"old": old.text, "new": new.text, "joined": False}
        try:
            self._note(intent)
            self._prepare(intent)
        except OSError:
            # Nothing was changed yet, and nothing shall be when the folder is next opened.
            self._intent.unlink(missing_ok=True)
            session_path(self._folder, old).with_suffix(ALIAS_SUFFIX).unlink(missing_ok=True)
            self._drop_joined()
            raise
        self._pending = frozenset((old, new))
        self.finish()

    def _finish(self) -> None:
        try:
            intent = json.loads(self._intent.read_bytes())
            old, new = SessionKey.parse(intent["old"]), SessionKey.parse(intent["new"])
            joined = bool(intent["joined"])
        except (ValueError, KeyError, TypeError):
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
        for folder in {source.parent, target.parent}:
            sync_folder(folder)
        self._intent.unlink()

    def _prepare(self, intent: Mapping[str, object]) -> bool:
        """Writes all that is new; False if there is no file to move."""
        old, new = (SessionKey.parse(str(intent[name])) for name in ("old", "new"))
        source, target = session_path(self._folder, old), session_path(self._folder, new)
        make_folders(source.parent)
        make_folders(target.parent)
        there = source.exists()
        if there:
            self._join(old, new)
        with self._writing(source.with_suffix(ALIAS_SUFFIX)) as file:
            file.write(f"{json.dumps({'moved_to': new.text})}\n".encode())
        if there:
            self._note({**intent, "joined": True})
        return there

    def _join(self, old: SessionKey, new: SessionKey) -> None:
        """Writes the files that `new` is to have."""
        moved, there = self._whole(old), self._whole(new)
        if not session_path(self._folder, new).exists():
            info, turns = msgspec.structs.replace(moved.info, key=new), moved.turns
        else:
            ids, epochs = moved.info.last_id, moved.info.epoch
            turns = moved.turns + [shifted(turn, ids, epochs) for turn in there.turns]
            info = merged_info(moved.info, there.info)
        if damaged := moved.damaged + there.damaged:
            with self._writing(self._joined_damaged) as file:
                file.writelines(line + b"\n" for line in damaged)
        with self._writing(self._joined) as file:
            write_session(file, info, turns, "rename")

    def _whole(self, key: SessionKey) -> _Whole:
        path = session_path(self._folder, key)
        now = datetime.now(timezone.utc)
        aside = lines_set_aside(path.with_suffix(DAMAGED_SUFFIX))
        whole = _Whole(SessionInfo(key=key, created_at=now, updated_at=now), [], aside)
        with suppress(FileNotFoundError), reading(path) as fd:
            tail = read_tail(fd, key, limit=os.fstat(fd).st_size)
            whole.info, whole.turns = tail.info or whole.info, tail.turns
            # A line that can't be read can't move into the joined file: it is kept beside it.
            whole.damaged += [line_at(fd, offset, tail.size) for offset in sorted(tail.damaged)]
        return whole

    def _note(self, intent: Mapping[str, object]) -> None:
        with self._writing(self._intent) as file:
            file.write(f"{json.dumps(intent)}\n".encode())

    def _drop_joined(self) -> None:
        self._joined.unlink(missing_ok=True)
        self._joined_damaged.unlink(missing_ok=True)

    def _writing(self, path: Path) -> AbstractContextManager[IO[bytes]]:
        return writing_anew(path, self._workplace)


def alias_of(path: Path) -> SessionKey | None:
    """Where the session that had this file has moved to, or None."""
    beside = path.with_suffix(ALIAS_SUFFIX)
    try:
        return SessionKey.parse(json.loads(beside.read_bytes())["moved_to"])
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError):
        logger.error("%s: unreadable alias, ignored", beside)
    return None


def write_session(file: IO[bytes], info: SessionInfo, turns: Sequence[Turn], op: str) -> None:
    """Writes all of a session; each metadata line counts the turns that stand before it."""
    file.write(encode_metadata(msgspec.structs.replace(info, turns=0), op))
    since = 0
    for count, turn in enumerate(turns):
        line = encode_turn(turn)
        if since and since + len(line) > METADATA_EVERY:
            file.write(encode_metadata(msgspec.structs.replace(info, turns=count), op))
            since = 0
        file.write(line)
        since += len(line)
    file.write(encode_metadata(msgspec.structs.replace(info, turns=len(turns)), op))
