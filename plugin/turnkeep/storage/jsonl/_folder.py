"""The files of one folder: opened, read, moved and removed.

All functions block, run on worker threads, and are called with the session's lock held, if
they concern one. Errors are `OSError`; `UnsyncedError` where the change was made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import SessionInfo
from ..jsonl import _nanobot
from ._alias import UNLINKED, alias_of, alias_path, all_resolved, lead_past, resolved, write_alias
from ._disk import (
    IrregularFileError,
    UnsyncedError,
    make_folder,
    make_folders,
    set_aside,
    sync_changed,
    sync_folder,
    writing_anew,
)
from ._folder_list import FolderList
from ._journal import Journal
from ._lines import encode_turn
from ._names import DAMAGED_SUFFIX, session_path
from ._nanobot import Foreign
from ._place import Place
from ._replay import replay
from ._rewrite import follow, rewrite_turns, write_session


class Folder(FolderList):
    """The files of one folder."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        super().__init__(path, read_only=read_only)
        self.journal = Journal(path, self.workplace)

    # The folder as a whole.

    def make(self) -> None:
        """Make the folder, its parents too, and its own corner in it."""
        make_folders(self.workplace)
        if self.workplace.is_symlink():
            raise IrregularFileError(self.workplace)

    def settle(self) -> None:
        """Finish what a crash left unfinished; the folder is owned."""
        if not self.read_only:
            names = os.listdir(self.workplace)  # noqa: PTH208 - a bot that starts waits for this
            replay(self.path, self.workplace, names)
            self.edits.settle()
            self._renaming.settle()
            for name in names:
                if name.endswith(".tmp"):
                    (self.workplace / name).unlink(missing_ok=True)
        self._foreign = _nanobot.index(self.path) if self.path.is_dir() else {}

    def resolve(self, key: SessionKey) -> SessionKey:
        """Return the key of the session that this one leads to; itself if that can't be read."""
        try:
            return resolved(self.path, key)[-1]
        except OSError as error:
            self.pass_over(session_path(self.path, key).parent, error)
            return key

    def aliases(self, prefix: str) -> dict[SessionKey, SessionKey]:
        """Return the aliases with a prefix, and the keys of the sessions that they lead to."""
        if not self.read_only:
            self._renaming.finish()
        return all_resolved(self.path, prefix, self.pass_over)

    # One session: changing.

    def rewrite(
        self,
        place: Place,
        changes: Mapping[int, Turn | None],
        info: SessionInfo,
        earlier: int,
        op: str,
    ) -> int | None:
        """Change or leave out turns of a file, with the record at its end.

        Return the file's new size, or None if it is another file now.
        """
        self.journal.release(place.path)
        moved: list[tuple[int, int]] = []
        try:
            with self.index.touching(info.key):
                return rewrite_turns(
                    place,
                    self.workplace,
                    self.edits,
                    changes,
                    info,
                    earlier,
                    op,
                    moved,
                )
        finally:
            self._damage.move(place.path, follow(moved))

    def write(self, path: Path, info: SessionInfo, foreign: Foreign | None, op: str) -> None:
        """Write a whole session's file: empty, or with what was in a nanobot file."""
        self._release(path)
        with self.index.touching(info.key):
            if make_folder(path.parent):
                sync_folder(self.path)
            with writing_anew(path, self.workplace, info.updated_at) as target:
                turns = foreign.turns if foreign else []
                write_session(target, info, 0, map(encode_turn, turns), op)
        self._damage.forget(path)
        if foreign is not None and foreign.damaged:
            set_aside(path.with_suffix(DAMAGED_SUFFIX), foreign.damage())

    def erase(self, path: Path, info: SessionInfo) -> None:
        """Write a session's file without turns, and remove what was set aside of it."""
        # First, so that none of it is left where the file was written and this failed.
        with self.index.touching(info.key):
            self._remove(self._side_files(info.key, path))
        self.write(path, info, None, "clear")

    def forget(self, key: SessionKey, alias: SessionKey | None) -> bool:
        """Remove all files of a session, a nanobot file that it came from too, and an alias."""
        path = session_path(self.path, key)
        self._release(path)
        # The session's own file goes last, when the others are gone for good: while it is there,
        # no older one comes back.
        with self.index.touching(key):
            side = self._remove_for_good(self._side_files(key, path))
        unsynced: OSError | None = None
        there = True
        try:
            with self.index.touching(key):
                there = self._remove([path]) or side
        except UnsyncedError as error:
            unsynced = error
        self._damage.forget(path)
        if alias is not None:
            try:
                with self.index.touching(alias):
                    self._remove_alias(alias)
            except OSError as error:
                unsynced = UnsyncedError(*error.args) if there else error
        if unsynced is not None:
            raise unsynced
        return there

    def rename(self, old: SessionKey, new: SessionKey) -> None:
        """Move a session's file and leave an alias; where both have turns, join them."""
        for key in (old, new):
            self._release(session_path(self.path, key))
        try:
            with self.index.touching(old, new):
                self._renaming.rename(old, new)
        finally:
            for key in (old, new):
                self._damage.forget(session_path(self.path, key))

    def unlink(self, alias: SessionKey) -> bool:
        """Take an alias back; False if it is none."""
        self._renaming.finish()
        if (
            session_path(self.path, alias).exists()
            or alias_of(alias_path(self.path, alias)) is None
        ):
            return False
        with self.index.touching(alias):
            self._remove_alias(alias)
        return True

    # Details.

    def _release(self, path: Path) -> None:
        """Erase what side files have of a session's file, before it is replaced or removed."""
        self.journal.release(path)
        self.edits.release(path)

    def _side_files(self, key: SessionKey, path: Path) -> list[Path]:
        """Return what was set aside of a session, and the nanobot files that it came from."""
        foreign = [
            file
            for other, files in self._foreign.items()
            if other == key or key in resolved(self.path, other, unlinked=True)
            for file in files
        ]
        return [*foreign, path.with_suffix(DAMAGED_SUFFIX)]

    def _remove(self, files: Sequence[Path]) -> bool:
        gone = [file for file in files if os.path.lexists(file)]
        for file in gone:
            file.unlink()
        sync_changed(file.parent for file in gone)
        return bool(gone)

    def _remove_for_good(self, files: Sequence[Path]) -> bool:
        """Remove files of a session that stays as it is; not to be able to sync that is a failure.

        They may be gone, and the session can be forgotten again.
        """
        try:
            return self._remove(files)
        except UnsyncedError as error:
            raise OSError(*error.args) from error

    def _remove_alias(self, key: SessionKey) -> None:
        """Remove an alias, or leave its trace where nanobot's file of the session is there."""
        alias = alias_path(self.path, key)
        target = alias_of(alias)
        if target is not None:
            lead_past(self.path, self.workplace, key, target)
        if target is not None and any(file.exists() for file in self._foreign.get(key, ())):
            write_alias(alias, self.workplace, target, UNLINKED)
        elif os.path.lexists(alias):
            self._remove([alias])
