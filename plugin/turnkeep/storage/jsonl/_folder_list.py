"""The sessions of a folder, listed and looked through.

All functions block, and run on worker threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import Found, Page, SessionInfo
from ..jsonl import _listing
from ._disk import reading, set_modified
from ._folder_reader import FolderReader
from ._lines import of_generation
from ._names import SUFFIX, session_path, text_of
from ._read import Tail, read_tail, time_at_end
from ._search import find_every


class FolderList(FolderReader):
    """The files of one folder, as far as several sessions are read."""

    def sessions(
        self, prefix: str, limit: int | None, after: SessionInfo | None, order: _listing.Order
    ) -> Page | None:
        """Return one page of the sessions; opens only the files of the page.

        None where a look through a large folder has to go on: call again.
        """
        while True:
            if not self.read_only:
                self._renaming.finish()
            renamed = self._renaming.finished
            if not self.read_only and self.index.is_worth(len(self._foreign)):
                if not self.index.ready(self):
                    return None
                choose: _listing.Choose = partial(self.index.choose, prefix, order)
                read = self.listed
            else:
                foreign = {key: files[-1] for key, files in self._foreign.items()}
                choose = _listing.scan(self.path, foreign, self, prefix, order)
                read = self.info
            page = _listing.page(choose, read, prefix, limit, after, order)
            if renamed == self._renaming.finished:
                return page

    def find_all(self, source_ids: Sequence[str], prefix: str, since: datetime | None) -> Found:
        """Return every turn with one of these ids, in one pass over the files."""
        while True:
            if not self.read_only:
                self._renaming.finish()
            renamed = self._renaming.finished
            found = self._look_through(source_ids, prefix, since)
            # What was moved meanwhile may have been looked for where it was no more.
            if renamed == self._renaming.finished:
                return found

    def listed(self, path: Path, key: SessionKey) -> SessionInfo | None:
        """Return the record of a session in this file, or still in a nanobot file, else None."""
        info = self.info(path, key)
        if info is None and (files := self._foreign.get(key)):
            info = _listing.foreign_info(self.path, key, files[-1], self.pass_over)
        if info is None:
            self.index.touch([key])  # it went, or can't be read now
        return info

    def dated(self) -> Iterator[tuple[str, int | None]]:
        """Give each session, by its key's text, and its time, as an index wants it."""
        for key, files in self._foreign.items():
            info = _listing.foreign_info(self.path, key, files[-1], self.pass_over)
            if info is not None:
                yield key.text, _listing.microseconds(info)
        for item, status in _listing.files(self.path, "", self.pass_over):
            written = self.written(item, status)
            text = text_of(item.folder.name, item.name.removesuffix(SUFFIX)) or item.text
            if text and written is None:
                written = self._glance(item.path)
                if written is None:
                    written = _listing.dated(item, status, self)
            if text:
                yield text, written

    def time_of(self, key: SessionKey) -> int | None:
        """Return when a session was written, in microseconds; None if it can't be read."""
        path = session_path(self.path, key)
        try:
            status = path.lstat()
        except FileNotFoundError:
            files = self._foreign.get(key)
            info = (
                _listing.foreign_info(self.path, key, files[-1], self.pass_over) if files else None
            )
            return None if info is None else _listing.microseconds(info)
        except OSError as error:
            self.pass_over(path, error)
            return None
        return _listing.dated(_listing.Item(path.parent, path.name, key=key), status, self)

    # Details.

    def _look_through(
        self, source_ids: Sequence[str], prefix: str, since: datetime | None
    ) -> Found:
        found = Found([], [])
        floor = None if since is None else _listing.microseconds(since)
        for item, status in _listing.files(self.path, prefix, self.pass_over):
            written = self.written(item, status)
            if floor is not None and written is not None and written < floor:
                continue
            key = item.key
            if key is None or not key.text.startswith(prefix):
                continue
            try:
                with reading(item.path) as fd:
                    hits, tail = self._steadily(fd, item.path, partial(_hits, fd, key, source_ids))
                    if tail is not None:
                        generation = "" if tail.info is None else tail.info.generation
                        found.turns.extend(
                            (key, of_generation(turn, generation))
                            for start, turn in hits
                            if start < tail.size
                        )
            except FileNotFoundError:
                continue  # forgotten meanwhile
            except OSError as error:
                self._damage.report_unreadable(item.path, error)
                found.unread.append(key)
        return found

    def _glance(self, path: Path) -> int | None:
        """Return when a file was written, and mark it; None if that takes a closer look."""
        with suppress(OSError), reading(path) as fd:
            written = time_at_end(fd)
            if written is not None and set_modified(fd, written):
                return _listing.microseconds(written)
        return None


def _hits(
    fd: int, key: SessionKey, source_ids: Sequence[str]
) -> tuple[list[tuple[int, Turn]], Tail | None]:
    """Return the turns with one of these ids, each with its offset, and the end of the file."""
    hits = [*find_every(fd, os.fstat(fd).st_size, source_ids)]
    # A part of an append, or a turn put out of order, is none.
    return hits, read_tail(fd, key, limit=0) if hits else None
