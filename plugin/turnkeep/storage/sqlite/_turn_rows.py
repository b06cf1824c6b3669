"""The rows of turns, with those of their names and words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import apsw

from ..._records.turn import Turn
from . import _index
from ._index import Kind
from ._rows import BODIES, Part, Row, body_of, decoded, micros
from ._sql import insert

_UP: Final = (
    f"SELECT {BODIES} FROM (SELECT * FROM turns WHERE place > ? AND place < ? "
    "ORDER BY place LIMIT ?)"
)
_DOWN: Final = (
    f"SELECT {BODIES} FROM (SELECT * FROM turns WHERE place > ? AND place < ? "
    "ORDER BY place DESC LIMIT ?)"
)
_DELETE: Final = "DELETE FROM {} WHERE {} IN (VALUES "
_REPLACE: Final = "UPDATE turns SET time = new.column2, body = new.column3 FROM (VALUES "
_REPLACED: Final = ") AS new WHERE turns.place = new.column1"


class TurnRows:
    """The tables of turns as one connection sees them; no session is looked at.

    `damaged` are the places of the unreadable turns that were found so far.
    """

    def __init__(self, db: apsw.Connection, damaged: set[int]) -> None:
        self.db = db
        self.search: Kind = "none"
        self.erasing = False
        """True if the change takes away bytes that must be gone when it returns."""
        self.gave_up = False
        """True if turns are left to be erased, see `_erasing`."""
        self.is_merging = False
        """True if the index is being merged by this connection."""
        self.damaged = damaged

    def rows(self, after: int, before: int, count: int, *, up: bool) -> list[Row]:
        """Return so many rows between these places, from the nearest end."""
        statement = _UP if up else _DOWN
        found = decoded(self.db.execute(statement, (after, before, count)).get)
        for row in found:
            if row.turn is None:
                self.damaged.add(row.place)
        return sorted(found, reverse=not up)

    def places(self, table: str, names: Iterable[str]) -> dict[str, list[int]]:
        """Return the places of the turns with these names in `sources` or `tokens`."""
        found: dict[str, list[int]] = {}
        if wanted := tuple(names):
            statement = (
                f"SELECT name, place FROM {table} WHERE name IN (SELECT value FROM carray(?))"
            )
            for name, place in self.db.execute(statement, (apsw.carray(wanted),)):
                found.setdefault(name, []).append(place)
        return found

    def add(self, stored: Sequence[tuple[Part, Turn]]) -> None:
        """Insert turns, with their names and their words."""
        turns, sources, tokens, texts = [], [], [], []
        for part, turn in stored:
            place = part.place(turn.id)
            turns.append((place, turn.epoch - part.epochs, micros(turn.time), body_of(turn, part)))
            sources += [(source, place) for source in dict.fromkeys(turn.source_ids)]
            if turn.token:
                tokens.append((turn.token, place))
            if text := _index.tokens(self.search, turn):
                texts.append((place, text))
        insert(self.db, "INSERT INTO turns VALUES ", turns)
        insert(self.db, "REPLACE INTO sources VALUES ", sources)
        insert(self.db, "REPLACE INTO tokens VALUES ", tokens)
        # The index is written in the order of places, or it is flushed at each step back.
        insert(self.db, _index.INSERT, sorted(texts))

    def remove(self, stored: Sequence[tuple[Part, Turn]]) -> None:
        """Delete turns, with their names and their words."""
        placed = [(part.place(turn.id), turn) for part, turn in stored]
        sources = [(source, place) for place, turn in placed for source in turn.source_ids]
        tokens = [(turn.token, place) for place, turn in placed if turn.token]
        insert(self.db, _DELETE.format("turns", "place"), [(place,) for place, _ in placed], ")")
        insert(self.db, _DELETE.format("sources", "(name, place)"), sources, ")")
        insert(self.db, _DELETE.format("tokens", "(name, place)"), tokens, ")")
        self._unindex(placed)

    def replace(self, edited: Sequence[tuple[Part, Turn, Turn]]) -> None:
        """Put other turns in the places of these."""
        placed = [(part.place(before.id), before, after) for part, before, after in edited]
        bodies = [
            (part.place(after.id), micros(after.time), body_of(after, part))
            for part, _, after in edited
        ]
        linked = [
            (source, place)
            for place, before, after in placed
            for source in after.source_ids
            if source not in before.source_ids
        ]
        insert(self.db, _REPLACE, bodies, _REPLACED)
        insert(self.db, "REPLACE INTO sources VALUES ", linked)
        worded = [
            (place, before, text)
            for place, before, after in placed
            if (text := _index.tokens(self.search, after)) != _index.tokens(self.search, before)
        ]
        self._unindex([(place, before) for place, before, _ in worded])
        texts = sorted((place, text) for place, _, text in worded if text)
        insert(self.db, _index.INSERT, texts)

    def _unindex(self, placed: Sequence[tuple[int, Turn]]) -> None:
        texts = [(place, _index.tokens(self.search, turn)) for place, turn in placed]
        rows = [("delete", place, text) for place, text in sorted(texts) if text]
        insert(self.db, _index.DELETE, rows)

    def give_up(self, parts: Iterable[Part]) -> None:
        """Leave the turns of these parts to be erased."""
        for part in parts:
            self.db.execute("UPDATE parts SET session = NULL WHERE part = ?", (part.part,))
        self.gave_up = self.erasing = True
