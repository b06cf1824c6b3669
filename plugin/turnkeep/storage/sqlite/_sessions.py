"""The sessions within a transaction: what a change of several tables needs of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

import apsw

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import Expected, SessionInfo, Snapshot, TurnRef
from ..rules import begun_info, is_expected
from . import _clock
from ._held import KEEP, MOST_KEPT, Cache, Held
from ._rows import (
    COLUMNS,
    LAST_ID,
    Part,
    info_of,
    of_session,
    part_of,
    replace,
    row_of,
)
from ._sql import insert
from ._turn_rows import TurnRows

PAGE: Final = 1000
"""The rows of one statement, when a whole session is read."""

_FIND: Final = (
    f"SELECT {COLUMNS} FROM sessions "
    "WHERE key = coalesce((SELECT target FROM aliases WHERE alias = ?1), ?1)"
)
_PARTS: Final = "SELECT part, ids, epochs FROM parts WHERE session = ? ORDER BY ids, part"
_SAVE: Final = f"REPLACE INTO sessions ({COLUMNS}) VALUES "


class Sessions(TurnRows):
    """The sessions as one connection sees them.

    What changes in a transaction is put into the cache when it has been committed.
    """

    def __init__(self, db: apsw.Connection, cache: Cache | None, damaged: set[int]) -> None:
        super().__init__(db, damaged)
        self._cache = cache
        self._changed: dict[str, Held | None] = {}
        self._aliases: dict[str, str] = {}
        self._renamed = False

    # The transaction.

    def publish(self) -> None:
        """Show others what the transaction has changed and read."""
        if self._cache is not None:
            if self._renamed:
                self._cache.clear()
            self._cache.aliases.update(self._aliases)
            for text, held in self._changed.items():
                self._cache.put(text, held)
        self.reset()

    def reset(self) -> None:
        """Forget what the transaction has changed."""
        self._changed, self._aliases, self._renamed = {}, {}, False

    def rename_all(self) -> None:
        """Have the keys of all that is held looked up again."""
        self._changed, self._aliases, self._renamed = {}, {}, True

    # A session.

    def resolve(self, key: SessionKey) -> SessionKey:
        """Return the key that this one is an alias of, or itself."""
        statement = "SELECT target FROM aliases WHERE alias = ?"
        found = self.db.execute(statement, (key.text,)).get
        return SessionKey.parse(found) if found is not None else key

    def get(self, key: SessionKey) -> Held | None:
        """Return a session, or None if there is none. Raises `StorageError` if unreadable."""
        text = key.text
        if self._cache is not None:
            before = {} if self._renamed else self._cache.aliases
            text = self._aliases.get(text) or before.get(text, text)
            if text in self._changed:
                return self._changed[text]
            if not self._renamed and (held := self._cache.get(text)) is not None:
                return held
        row = self.db.execute(_FIND, (text,)).fetchone()
        if row is None:
            return None
        parts = tuple(Part(*part) for part in self.db.execute(_PARTS, (row[0],)))
        info = info_of(row, self._damage(parts))
        held = Held(row[0], info, parts, [], 0, info.last_id)
        if self._cache is not None:
            if info.key.text != text:
                self._aliases[text] = info.key.text
            self._changed[info.key.text] = held
        return held

    def _damage(self, parts: Iterable[Part]) -> int:
        return sum(part_of(place, parts) is not None for place in tuple(self.damaged))

    def expected(self, key: SessionKey, expected: Expected | None) -> Held | None:
        """Return the session if there is one, and it is as expected."""
        held = self.get(key)
        return held if held is not None and self.is_as(held, expected) else None

    def is_as(self, held: Held, expected: Expected | None) -> bool:
        """Return True if a session is as expected."""
        if expected is None:
            return True
        turn = expected.turn
        return is_expected(held.info, expected) and (
            turn is None or self.turn(held, turn) is not None
        )

    def begun(self, key: SessionKey, now: datetime, at: TurnRef | None = None) -> SessionInfo:
        """Return the record that a session which begins now has."""
        return begun_info(self.resolve(key), now, at)

    def begin(self, key: SessionKey, info: SessionInfo) -> Held:
        """Return a new session, which has a row and a part."""
        if info.key != key:
            self._aliases[key.text] = info.key.text
        values = ", ".join("?" * (COLUMNS.count(",") + 1))
        row = self.db.execute(
            f"INSERT INTO sessions ({COLUMNS}) VALUES ({values}) RETURNING id",
            (None, *row_of(info)),
        ).get
        held = Held(row, info, (self.new_part(row),), [], 0, 0)
        self._changed[info.key.text] = held
        return held

    def new_part(self, row: int) -> Part:
        """Return a new part of a session, without turns."""
        statement = "INSERT INTO parts (session, ids, epochs) VALUES (?, 0, 0) RETURNING part"
        return Part(self.db.execute(statement, (row,)).get, 0, 0)

    def save(self, held: Held, **changes: Any) -> Held:
        """Store the record with these changes: the effect of every change of a session."""
        return self.put(held.changed(replace(held.info, updated_at=_clock.now(), **changes)))

    def put(self, held: Held) -> Held:
        """Store the record as it is."""
        insert(self.db, _SAVE, [(held.row, *row_of(held.info))])
        self.keep(held)
        return held

    def keep(self, held: Held | None, text: str | None = None) -> None:
        """Have a session shown so when the transaction is committed."""
        self._changed[text or (held.info.key.text if held else "")] = held

    # Its turns.

    def each(
        self, held: Held, after: int, before: int | None, count: int, *, up: bool
    ) -> Iterator[Turn]:
        """Give the readable turns between these ids, `count` rows with each statement."""
        count = min(count, PAGE)
        for part in held.parts if up else reversed(held.parts):
            low = max(part.first, part.place(after))
            high = part.last if before is None else min(part.last, part.place(before))
            while low < high:
                rows = self.rows(low, high, count, up=up)
                for row in rows:
                    if row.turn is not None:
                        yield of_session(row.turn, part, held.info.generation)
                if len(rows) < count:
                    break
                low, high = (rows[-1].place, high) if up else (low, rows[-1].place)

    def read(
        self, held: Held, after: int, before: int | None, limit: int | None, *, newest: bool
    ) -> Snapshot:
        """Return what `Storage.read` does, from the tables alone."""
        found: list[Turn] = []
        complete = True
        size = PAGE if limit is None else limit + 1
        for turn in self.each(held, after, before, size, up=not newest):
            if len(found) == limit:
                complete = False
                break
            found.append(turn)
        damaged = self._damage(held.parts) if self.damaged else 0
        info = replace(held.info, damaged=damaged) if damaged else held.info
        return Snapshot(info, found[::-1] if newest else found, complete)

    def read_end(
        self, key: SessionKey, after: int, before: int | None, limit: int | None, newest: bool
    ) -> Snapshot:
        """Return what `Storage.read` does, and hold the end of the session for the next one."""
        held = self.get(key)
        if held is None:
            return Snapshot(None, [])
        found = held.snapshot(after, before, limit, newest)
        if found is not None:
            return found
        if newest and before is None and not after and limit is not None and limit < MOST_KEPT:
            keep = max(held.keep, limit + 1)
            end = self.read(held, 0, None, max(KEEP // 2, limit + 1), newest=True)
            assert end.info is not None
            turns = list(end.turns)
            reach = 0 if end.complete or not turns else turns[0].id - 1
            held = Held(held.row, end.info, held.parts, turns, len(turns), reach, keep)
            self.keep(held)
            found = held.snapshot(after, before, limit, newest)
            if found is not None:
                return found
        read = self.read(held, after, before, limit, newest=newest)
        if read.info is not None and read.info is not held.info:
            self.keep(held.changed(read.info))
        return read

    def turn(self, held: Held, turn_id: int) -> Turn | None:
        """Return one turn, or None if it is not stored, or unreadable."""
        if turn_id > held.after:
            return held.turn(turn_id)
        part = next((part for part in reversed(held.parts) if turn_id > part.ids), None)
        if part is None or turn_id <= 0:
            return None
        place = part.place(turn_id)
        rows = self.rows(place - 1, place + 1, 1, up=True)
        if not rows or rows[0].turn is None:
            return None
        return of_session(rows[0].turn, part, held.info.generation)

    def part_of(self, held: Held, turn_id: int) -> Part:
        """Return the part that a stored turn is in."""
        return next(part for part in reversed(held.parts) if turn_id > part.ids)

    def named(self, held: Held, places: Iterable[int]) -> Turn | None:
        """Return the latest of the turns at these places that is in the session."""
        ids = [
            (place & LAST_ID) + part.ids
            for place in places
            if (part := part_of(place, held.parts)) is not None
        ]
        found = (self.turn(held, turn_id) for turn_id in sorted(ids, reverse=True))
        return next(filter(None, found), None)
