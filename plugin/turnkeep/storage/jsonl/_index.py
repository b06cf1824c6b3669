"""The sessions of a large folder in both orders, so that a page costs the page.

The process that owns a folder is told of each change of it. So it looks through a large folder
once, at the first page, and after that looks again only at the sessions that were touched. What
it knows of a session is the text of its key and its time: some 90 bytes. A small folder is
scanned for each page, which is as quick.

The rows are in a SQLite database in memory, which sorts and searches without holding the
interpreter. Where Python lacks SQLite, every folder is scanned.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import chain, islice
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from ..._records.key import SessionKey
from ._listing import Item, Order, Placed, channels
from ._names import SUFFIX, session_path

if TYPE_CHECKING:
    from collections.abc import Generator
    from sqlite3 import Connection

INDEX_FROM: Final = 256
"""A folder of so many files gets an index."""

MAX_TOUCHED: Final = 16_384
"""If more sessions than that, and than an eighth of all, are touched, the index begins again."""

STEP_SECONDS: Final = 0.25
"""A look through the folder pauses so often, for those who close it or are cancelled."""

AT_ONCE: Final = 64
FEW: Final = 4096
"""So many sessions of a prefix are sorted; more are met soon enough in the order of all."""

_TABLE: Final = """
CREATE TABLE session (text TEXT PRIMARY KEY, placed INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX by_time ON session (placed, text);
"""
_PUT: Final = "INSERT OR REPLACE INTO session VALUES (?, ?)"
_DROP: Final = "DELETE FROM session WHERE text = ?"
_COUNT: Final = """
SELECT count(*) FROM (SELECT 1 FROM session WHERE text >= ? AND text < ? LIMIT ?)
"""
_BY_KEY: Final = """
SELECT text, placed FROM session WHERE text > ? AND text >= ? AND text < ? ORDER BY text LIMIT ?
"""
_BY_TIME: Final = """
SELECT text, placed FROM session INDEXED BY by_time
WHERE (placed, text) > (?, ?) AND text >= ? AND text < ? ORDER BY placed, text LIMIT ?
"""
_FEW_BY_TIME: Final = """
SELECT text, placed FROM session
WHERE (+placed, text) > (?, ?) AND text >= ? AND text < ? ORDER BY +placed, text LIMIT ?
"""
_FIRST: Final = -(2**62)
"""A place before every session's."""


class Look(Protocol):
    """The folder, as an index looks at it."""

    def dated(self) -> Iterator[tuple[str, int | None]]:
        """Give each session, by its key's text, and its time in microseconds.

        The time is None if the session can't be read now.
        """
        ...

    def time_of(self, key: SessionKey) -> int | None:
        """Return when a session was written; None if it is not there."""
        ...


class Index:
    """The index of one folder, while this process owns it.

    `touch` and `touching` may be called on any thread. All else is called by one at a time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()
        self._kept = False
        self._touched: set[SessionKey] = set()
        self._renamed: set[str] = set()
        """The names of the channels' folders in which we have changed names since a page."""
        self._most_touched = MAX_TOUCHED
        self._stamps: dict[str, int] = {}
        """When names in the folder (`""`) and in those of its channels last changed."""
        self._rows: Connection | None = None
        self._look: Iterator[tuple[str, int | None]] | None = None

    # On any thread.

    def touch(self, keys: Iterable[SessionKey], *, renamed: bool = False) -> None:
        """Take note that these sessions' files were changed; or made, moved or removed."""
        if not self._kept:
            return
        with self._lock:
            self._touched.update(keys)
            if renamed:
                self._renamed.update(session_path(Path(), key).parent.name for key in keys)
            if len(self._touched) > self._most_touched:
                self._kept = False
                self._touched.clear()

    @contextmanager
    def touching(self, *keys: SessionKey) -> Generator[None]:
        """Take note that names of these sessions' files are changed in the block."""
        self.touch(keys, renamed=True)  # before, so that nobody else is taken for who did it
        try:
            yield
        finally:
            self.touch(keys, renamed=True)

    # By one at a time.

    def close(self) -> None:
        """Forget everything."""
        self._kept = False
        self._look = None
        if self._rows is not None:
            self._rows.close()
            self._rows = None

    def is_worth(self, more: int) -> bool:
        """Return whether a folder, with so many files elsewhere, is better read by its index."""
        if self._kept:
            return True
        if not _has_sqlite():
            return False
        left = INDEX_FROM - more
        for channel in channels(self._folder, "", whole=False):
            if left <= 0:
                break
            with suppress(OSError), os.scandir(channel) as entries:
                names = (entry for entry in entries if entry.name.endswith(SUFFIX))
                left -= sum(1 for _ in islice(names, left))
        return left <= 0

    def ready(self, look: Look) -> bool:
        """Be up to date; False if the look through the folder has to go on."""
        if self._rows is not None and (not self._kept or self._is_changed_outside()):
            self.close()
        if self._rows is None:
            self._begin(look)
        if self._look is not None and not self._go_on(self._look):
            return False
        self._look = None
        self._follow(look)
        return True

    def choose(
        self, prefix: str, order: Order, place: tuple[int, str] | None, most: int | None
    ) -> list[Placed]:
        """Return the first sessions with the prefix behind this place, and all without `most`."""
        assert self._rows is not None
        end = _end_of(prefix)
        if end is None:
            return []
        at, text = place or (_FIRST, "")
        limit = -1 if most is None else most
        if order == "key":
            found = self._rows.execute(_BY_KEY, (text, prefix, end, limit))
        else:
            (several,) = self._rows.execute(_COUNT, (prefix, end, FEW)).fetchone()
            by = _BY_TIME if several == FEW else _FEW_BY_TIME
            found = self._rows.execute(by, (at, text, prefix, end, limit))
        return [
            (0 if order == "key" else placed, self._item(text), placed) for text, placed in found
        ]

    # Details.

    def _item(self, text: str) -> Item:
        key = SessionKey.parse(text)
        path = session_path(self._folder, key)
        return Item(path.parent, path.name, key=key)

    def _begin(self, look: Look) -> None:
        import sqlite3  # noqa: PLC0415 - only a large folder needs it

        with self._lock:
            self._touched.clear()
            self._renamed.clear()
            self._kept = True
        self._most_touched = MAX_TOUCHED
        self._stamps = {
            name: _changed(self._folder / name)
            for name in ("", *(path.name for path in channels(self._folder, "", whole=False)))
        }
        self._rows = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._rows.executescript(_TABLE)
        self._look = look.dated()

    def _go_on(self, look: Iterator[tuple[str, int | None]]) -> bool:
        """Look at more of the folder; True if that was all of it."""
        assert self._rows is not None
        until = monotonic() + STEP_SECONDS
        while True:
            part = [*islice(look, AT_ONCE)]
            if not part:
                (count,) = self._rows.execute("SELECT count(*) FROM session").fetchone()
                self._most_touched = max(MAX_TOUCHED, count // 8)
                return True
            self._put([(text, -at) for text, at in part if at is not None])
            self.touch([SessionKey.parse(text) for text, at in part if at is None])
            if monotonic() >= until:
                return False

    def _put(self, rows: Sequence[tuple[str, int]]) -> None:
        """Write rows, many in one step: after each, the interpreter has to be waited for."""
        assert self._rows is not None
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            statement = _PUT + ", (?, ?)" * (len(part) - 1)
            self._rows.execute(statement, [*chain.from_iterable(part)])

    def _follow(self, look: Look) -> None:
        """Look again at what was touched."""
        with self._lock:
            touched, self._touched = self._touched, set()
            renamed, self._renamed = self._renamed, set()
        for name in renamed:
            if name not in self._stamps:
                self._stamps[""] = _changed(self._folder)
            self._stamps[name] = _changed(self._folder / name)
        times = {key: look.time_of(key) for key in touched}
        self._put([(key.text, -at) for key, at in times.items() if at is not None])
        gone = [key for key, at in times.items() if at is None]
        assert self._rows is not None
        self._rows.executemany(_DROP, [(key.text,) for key in gone])
        # What is there and can't be read may be readable again by the next page.
        self.touch([key for key in gone if os.path.lexists(session_path(self._folder, key))])

    def _is_changed_outside(self) -> bool:
        """Return whether somebody else added or removed files, as far as the folders tell."""
        with self._lock:
            ours = {*self._renamed}
        if not ours <= self._stamps.keys():
            ours.add("")
        return any(
            name not in ours and _changed(self._folder / name) != stamp
            for name, stamp in self._stamps.items()
        )


def _has_sqlite() -> bool:
    try:
        import_module("sqlite3")
    except ImportError:  # a Python that was built without it
        return False
    return True


def _changed(folder: Path) -> int:
    """Return when names in a folder last changed; 0 if there is no such folder."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def _end_of(prefix: str) -> str | bytes | None:
    """Return what stands behind all texts that begin so, and before others; None if none can."""
    try:
        prefix.encode()
    except UnicodeEncodeError:
        return None
    whole = prefix.rstrip("\U0010ffff")
    if not whole:
        return b""  # in SQLite, bytes stand behind every text
    last = ord(whole[-1]) + 1
    return whole[:-1] + chr(0xE000 if last == 0xD800 else last)
