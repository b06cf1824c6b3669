"""Renaming a session: an intent is written first, so that a crash in the middle is finished.

All that can fail for want of space comes before the first change to a session's own file.
What is left undone there, by a crash or a failure, is done before anything else is. A file
whose new name is free only gets that name, and a record at its end that says so. Else both
files are read line by line, so that a long session holds up nobody.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import IO, Final

import msgspec

from ..._records.key import SessionKey
from ..base import merged
from . import _clock
from ._alias import alias_of, alias_path, write_alias
from ._blocks import lines_backward
from ._disk import (
    IrregularFileError,
    UnsyncedError,
    make_folders,
    read_side_file,
    reading,
    remove,
    sync_folder,
    writing_anew,
)
from ._edits import Edit, Edits
from ._lines import MetadataLine, decode_line, encode_metadata
from ._names import DAMAGED_SUFFIX, session_path
from ._read import read_tail
from ._rewrite import write_session
from ._whole import lines_of_both, whole_of

logger: Final = logging.getLogger("turnkeep")
replace: Final = msgspec.structs.replace

INTENT_NAME: Final = "rename.json"
JOINED_NAME: Final = "joined.session"
JOINED_DAMAGED_NAME: Final = "joined.damaged"


class Renaming:
    """The renames of one folder, one at a time."""

    def __init__(
        self,
        folder: Path,
        workplace: Path,
        edits: Edits,
        touch: Callable[[Sequence[SessionKey]], None],
    ) -> None:
        self.finished = 0
        """The number of renames, for those who look through the folder meanwhile."""
        self._folder = folder
        self._workplace = workplace
        self._edits = edits
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
        intent = {"old": old.text, "new": new.text, "joined": False, "moves": False}
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
            joined, moves = bool(intent["joined"]), bool(intent.get("moves"))
        except (ValueError, KeyError, TypeError, RecursionError, IrregularFileError):
            # It is put in place whole, so this is damage, and the old state is all there is.
            logger.error("%s: unreadable; a rename may be half done", self._intent)
            self._intent.replace(self._intent.with_suffix(DAMAGED_SUFFIX))
            return
        source, target = session_path(self._folder, old), session_path(self._folder, new)
        if not (joined or moves):
            joined, moves = self._prepare(intent)
        if moves:
            try:
                if source.exists():
                    source.replace(target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._join(old, new)
                self._note({**intent, "joined": True, "moves": False})
                joined = True
            else:
                self._sign(target, new)
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

    def _prepare(self, intent: Mapping[str, object]) -> tuple[bool, bool]:
        """Write all that is new; return whether the files are joined, or one only moves."""
        old, new = (SessionKey.parse(str(intent[name])) for name in ("old", "new"))
        source, target = session_path(self._folder, old), session_path(self._folder, new)
        make_folders(source.parent)
        make_folders(target.parent)
        there = source.exists()
        asides = (path.with_suffix(DAMAGED_SUFFIX) for path in (source, target))
        moves = there and not any(map(os.path.lexists, (target, *asides)))
        if there and not moves:
            self._join(old, new)
        write_alias(alias_path(self._folder, old), self._workplace, new, key=old)
        if there:
            self._note({**intent, "joined": not moves, "moves": moves})
        return there and not moves, moves

    def _sign(self, path: Path, key: SessionKey) -> None:
        """End a file that has moved with a record of its new key, unless it has one."""
        with reading(path) as fd:
            tail = read_tail(fd, key, limit=0)
            for _, line in lines_backward(fd, tail.size):
                record = decode_line(line)
                if isinstance(record, MetadataLine):
                    if record.key == key.text:
                        return
                    break
            torn = os.pread(fd, tail.torn, tail.size)
        if tail.info is None:
            return
        now = _clock.now()
        record_line = encode_metadata(
            replace(tail.info, updated_at=now), "rename", earlier=tail.earlier
        )
        line = b"\n" + record_line if tail.unended else record_line
        left_over = zlib.crc32(torn[len(line) :])
        edit = Edit(path, tail.size + tail.torn, tail.size, line, left_over)
        self._edits.write(edit, torn, now)

    def _join(self, old: SessionKey, new: SessionKey) -> None:
        """Write the files that `new` is to have."""
        moved, there = whole_of(self._folder, old), whole_of(self._folder, new)
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
                lines = lines_of_both(moved, there, ids, epochs)
                write_session(file, info, earlier, lines, "rename")

    def _note(self, intent: Mapping[str, object]) -> None:
        with self._writing(self._intent) as file:
            file.write(f"{json.dumps(intent)}\n".encode())

    def _drop_joined(self) -> None:
        remove(self._joined)
        remove(self._joined_damaged)

    def _writing(self, path: Path) -> AbstractContextManager[IO[bytes]]:
        return writing_anew(path, self._workplace)
