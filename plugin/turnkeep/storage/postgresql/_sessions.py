"""Sessions in a transaction: their records, and the turns of their lives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from ..._records.identity import Expected, TurnRef, new_generation
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import SessionInfo
from ..rules import is_expected
from ._link import Connection
from ._place import Place
from ._rows import (
    RECORD,
    Named,
    array,
    as_info,
    as_turn,
    body_of,
    by_names,
    names_of,
    numbers,
    placed,
    spoken,
    time_of,
)

__all__ = ["Held", "Placed", "Sessions"]

_encode: Final = msgspec.json.Encoder().encode

_SESSION: Final = f"SELECT {RECORD}, s.sid, s.life FROM turnkeep.session s"

_NEXT: Final = "nextval(pg_get_serial_sequence(%s, 'sid'))"
"""A new number for a session and its first life, or for another life."""

_TURN: Final = (
    "SELECT t.body, p.ids, p.epochs, p.life, t.names FROM turnkeep.part p "
    "JOIN turnkeep.turn t ON t.life = p.life"
)


@dataclass
class Held:
    """A session whose row is locked until the transaction ends."""

    info: SessionInfo
    sid: int
    life: int


@dataclass
class Placed:
    """A stored turn as its session has it, and where it is stored."""

    turn: Turn
    ids: int
    epochs: int
    life: int
    names: Sequence[UUID]


class Sessions:
    """The sessions in a transaction that holds the keys still."""

    def __init__(self, connection: Connection, place: Place) -> None:
        self._connection = connection
        self._place = place

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self._connection.execute(self._place.sql(query), parameters).fetchall()

    def run(self, query: str, *parameters: Any) -> int:
        """Run a statement, and return how many rows it changed."""
        return self._connection.execute(self._place.sql(query), parameters).rowcount

    # Sessions.

    def resolve(self, key: SessionKey) -> SessionKey:
        """Return the key that an alias leads to, else the key itself."""
        rows = self.rows("SELECT key FROM turnkeep.alias WHERE alias = %s", key.text)
        return SessionKey.parse(rows[0][0]) if rows else key

    def lock(self, *keys: SessionKey) -> list[Held | None]:
        """Lock the sessions of these keys, which are resolved, in the one order."""
        texts = [key.text for key in keys]
        rows = self.rows(
            f"{_SESSION} WHERE s.key = ANY (%s::text[]) ORDER BY s.key FOR UPDATE", array(texts)
        )
        held = {row[0]: Held(as_info(row), *row[-2:]) for row in rows}
        return [held.get(text) for text in texts]

    def get(self, key: SessionKey, expected: Expected | None = None) -> Held | None:
        """Return the locked session, if there is one and it is as expected."""
        (held,) = self.lock(self.resolve(key))
        if held is None or not is_expected(held.info, expected):
            return None
        if expected and expected.turn is not None and self.turn(held, expected.turn) is None:
            return None
        return held

    def get_or_begin(self, key: SessionKey, at: TurnRef | None = None) -> Held:
        """Return the locked session. If there is none it begins now, in the generation of `at`."""
        key = self.resolve(key)
        (held,) = self.lock(key)
        if held is None:
            self.rows(
                "WITH begun AS ("
                "INSERT INTO turnkeep.session (sid, life, key, generation, created_at, updated_at) "
                "SELECT n, n, %s, %s, turnkeep.clock(), turnkeep.clock() "
                f"FROM {_NEXT} n "
                "ON CONFLICT DO NOTHING RETURNING sid) "
                "INSERT INTO turnkeep.part (life, sid) SELECT sid, sid FROM begun RETURNING life",
                key.text,
                new_generation() if at is None else at.generation,
                f"{self._place.identifier}.session",
            )
            (held,) = self.lock(key)
        assert held is not None, "nobody forgets a session while its key is held"
        return held

    def save(self, held: Held, **changes: Any) -> None:
        """Store the record after these changes, and the time of it unless it is one of them."""
        columns = {
            name: _encode(value).decode() if name in ("metadata", "origins") else value
            for name, value in changes.items()
        }
        sets = [f"{name} = %s" for name in columns]
        if "updated_at" not in columns:
            sets.append("updated_at = turnkeep.clock()")
        ((micros,),) = self.rows(
            f"UPDATE turnkeep.session SET {', '.join(sets)} WHERE sid = %s "
            "RETURNING turnkeep.micros(updated_at)",
            *columns.values(),
            held.sid,
        )
        held.info = msgspec.structs.replace(held.info, **{**changes, "updated_at": time_of(micros)})

    # Turns.

    def turn(self, held: Held, turn_id: int) -> Placed | None:
        """Return the turn with this id."""
        rows = self.rows(
            f"{_TURN} AND t.id = %s - p.ids WHERE p.sid = %s AND t.id > 0", turn_id, held.sid
        )
        return next(iter(self._placed(held, rows)), None)

    def turns(self, held: Held, ids: Iterable[int]) -> list[Placed]:
        """Return the turns with these ids, ascending."""
        rows = self.rows(
            f"{_TURN} WHERE p.sid = %s AND t.id + p.ids = ANY (%s::bigint[])",
            held.sid,
            numbers(ids),
        )
        return sorted(self._placed(held, rows), key=lambda one: one.turn.id)

    def named(self, held: Held, turns: Iterable[Turn], *, sources: bool) -> Named:
        """Return the stored turns that have the names of these, the latest of each."""
        rows = self.rows(
            f"{_TURN} JOIN turnkeep.turn_name n ON n.life = p.life AND n.id = t.id "
            "WHERE p.sid = %s AND n.name = ANY (%s::uuid[]) ORDER BY p.ids + t.id",
            held.sid,
            array(name for turn in turns for name in names_of(turn, sources=sources)),
        )
        found: Named = {}
        for one in self._placed(held, rows):
            found |= by_names(one.turn)
        return found

    @staticmethod
    def _placed(held: Held, rows: Iterable[Sequence[Any]]) -> list[Placed]:
        found: list[Placed] = []
        for body, ids, epochs, life, names in rows:
            turn = as_turn(body)
            if turn is not None:  # a damaged one is set aside by the next read
                turn = placed(turn, ids, epochs, held.info.generation)
                found.append(Placed(turn, ids, epochs, life, names or ()))
        return found

    def add(self, held: Held, turns: Sequence[Turn]) -> None:
        """Store new turns, which have their ids, in two statements for all of them."""
        names = [names_of(turn) for turn in turns]
        self.run(
            "INSERT INTO turnkeep.turn (life, id, said_at, sender, names, words, body) "
            "SELECT %s, u.id, u.said::timestamptz, u.sender, u.names::uuid[], "
            "u.words::tsvector, u.body FROM unnest("
            "%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[]"
            ") u (id, said, sender, names, words, body)",
            held.life,
            numbers(turn.id for turn in turns),
            array(turn.time.isoformat() for turn in turns),
            array(turn.sender.id if turn.sender else None for turn in turns),
            array(array(some) if some else None for some in names),
            array(map(spoken, turns)),
            array(map(body_of, turns)),
        )
        self._name(
            (held.life, turn.id, name)
            for turn, some in zip(turns, names, strict=True)
            for name in some
        )

    def _name(self, names: Iterable[tuple[int, int, str]]) -> None:
        """Store the names of turns: a life, an id there, and a name each."""
        lives, ids, texts = _columns(names, 3)
        self.run(
            "INSERT INTO turnkeep.turn_name (life, id, name) "
            "SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::uuid[]) ON CONFLICT DO NOTHING",
            numbers(lives),
            numbers(ids),
            array(texts),
        )

    def rewrite(self, edited: Sequence[tuple[Placed, Turn]]) -> None:
        """Store edited turns in the place of those that they were."""
        own = [
            msgspec.structs.replace(
                turn,
                id=turn.id - one.ids,
                epoch=turn.epoch - one.epochs,
                answers=None if turn.answers is None else turn.answers - one.ids,
                also_answers=tuple(answered - one.ids for answered in turn.also_answers),
            )
            for one, turn in edited
        ]
        names = [names_of(turn) for turn in own]
        lives = [one.life for one, _ in edited]
        self.run(
            "UPDATE turnkeep.turn t SET names = u.names::uuid[], words = u.words::tsvector, "
            "body = u.body FROM unnest("
            "%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[]"
            ") u (life, id, names, words, body) WHERE t.life = u.life AND t.id = u.id",
            numbers(lives),
            numbers(turn.id for turn in own),
            array(array(some) if some else None for some in names),
            array(map(spoken, own)),
            array(map(body_of, own)),
        )
        self._name(
            (life, turn.id, name)
            for life, turn, some in zip(lives, own, names, strict=True)
            for name in some
        )

    def remove(self, placed: Sequence[Placed]) -> None:
        """Delete turns, and their names."""
        own = [(one.life, one.turn.id - one.ids, one.names) for one in placed]
        self.run(
            "DELETE FROM turnkeep.turn "
            "WHERE (life, id) IN (SELECT * FROM unnest(%s::bigint[], %s::bigint[]))",
            numbers(life for life, _, _ in own),
            numbers(turn_id for _, turn_id, _ in own),
        )
        lives, ids, names = _columns(
            ((life, turn_id, name.hex) for life, turn_id, some in own for name in some), 3
        )
        self.run(
            "DELETE FROM turnkeep.turn_name WHERE (life, name, id) IN "
            "(SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::bigint[]))",
            numbers(lives),
            array(names),
            numbers(ids),
        )

    def erase(self, held: Held) -> int:
        """Delete all turns, also those that are damaged, and return how many could be read."""
        gone = 0
        for table in ("damaged_turn", "turn_name", "turn"):
            gone = self.run(
                f"DELETE FROM turnkeep.{table} "
                "WHERE life IN (SELECT life FROM turnkeep.part WHERE sid = %s)",
                held.sid,
            )
        return gone

    def join(self, kept: Held, gone: Held, ids: int, epochs: int) -> None:
        """Give the lives of one session to another, whose own ids and epochs rise.

        No turn moves. New turns go to another life, whose ids are the session's.
        """
        self.run(
            "UPDATE turnkeep.part SET ids = ids + %s, epochs = epochs + %s WHERE sid = %s",
            ids,
            epochs,
            kept.sid,
        )
        self.run("UPDATE turnkeep.part SET sid = %s WHERE sid = %s", kept.sid, gone.sid)
        self.run(
            f"WITH begun AS (INSERT INTO turnkeep.part (life, sid) VALUES ({_NEXT}, %s) "
            "RETURNING life) UPDATE turnkeep.session SET life = begun.life FROM begun "
            "WHERE session.sid = %s",
            f"{self._place.identifier}.session",
            kept.sid,
            kept.sid,
        )

    def drop(self, held: Held) -> None:
        """Delete a session that has no turns any more."""
        self.run("DELETE FROM turnkeep.part WHERE sid = %s", held.sid)
        self.run("DELETE FROM turnkeep.session WHERE sid = %s", held.sid)


def _columns(rows: Iterable[tuple[Any, ...]], count: int) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True)) or [()] * count
