"""Appends: all that wait are one round trip and one commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import replace

from ..._records.identity import Expected, TurnRef, new_generation
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import Appended
from ._changes import append
from ._lane import Request
from ._link import Connection
from ._place import Place
from ._rows import array, as_info, body_of, names_of, numbers, spoken
from ._sessions import Sessions
from ._terms import Terms

__all__ = ["Append"]

_QUERY: Final = (
    "SELECT * FROM turnkeep.append_turns(%s, %s, %s::text[], %s::text[], %s::bigint[], %s::text[], "
    "%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[], "
    "%s::text[], %s::text[], %s::text[])"
)


class Append(Request):
    """An append that waits for its turn."""

    def __init__(
        self,
        place: Place,
        terms: Terms,
        key: SessionKey,
        turns: Sequence[Turn],
        expected: Expected | None,
        *,
        dedupe: bool,
        at: TurnRef | None,
    ) -> None:
        super().__init__(changes=True)
        self.place = place
        self.terms = terms
        self.key = key
        self.turns = [
            replace(turn, id=0, epoch=1, generation="")
            if turn.id or turn.epoch != 1 or turn.generation
            else turn
            for turn in turns
        ]
        self.expected = expected
        self.dedupe = dedupe
        self.at = at
        checked = [names_of(turn, sources=dedupe) for turn in self.turns]
        self.checks = [_names(names) for names in checked]
        self.names = self.checks if dedupe else [_names(names_of(turn)) for turn in self.turns]
        self.bodies = [body_of(turn) for turn in self.turns]
        flat = [name for names in checked for name in names]
        self.plain = bool(turns) and len(set(flat)) == len(flat)
        """False if its own turns may be duplicates of each other, which the function can't see."""

    def alone(self, connection: Connection) -> Appended | None:
        """Append in a transaction of several statements, for calls that are no plain ones."""

        def work(connection: Connection) -> Appended | None:
            held = Sessions(connection, self.place)
            return append(held, self.key, self.turns, self.expected, dedupe=self.dedupe, at=self.at)

        return self.terms.transaction(self.place, work)(connection)


def _names(names: Sequence[str]) -> str | None:
    return "{" + ",".join(names) + "}" if names else None


def _append(connection: Connection, appends: Sequence[Append]) -> None:
    plain = [one for one in appends if one.plain]
    # Behind one that is not plain nothing may pass it.
    if len(plain) < len(appends):
        plain = list(appends[: next(n for n, one in enumerate(appends) if not one.plain)])
    for one in appends:
        one.later = True
    if not plain:
        return
    turns = [(n, turn) for n, one in enumerate(plain, 1) for turn in one.turns]
    rows = connection.execute(
        plain[0].place.sql(_QUERY),
        (
            *plain[0].terms,
            array(one.key.text for one in plain),
            array(one.at.generation if one.at else new_generation() for one in plain),
            numbers(one.at.id if one.at else None for one in plain),
            array(one.expected.generation if one.expected else None for one in plain),
            numbers(one.expected.epoch if one.expected else None for one in plain),
            numbers(one.expected.revision if one.expected else None for one in plain),
            numbers(one.expected.turn if one.expected else None for one in plain),
            numbers(n for n, _ in turns),
            array(turn.time.isoformat() for _, turn in turns),
            array(turn.sender.id if turn.sender else None for _, turn in turns),
            array(names for one in plain for names in one.checks),
            array(names for one in plain for names in one.names),
            array(spoken(turn) for _, turn in turns),
            array(body for one in plain for body in one.bodies),
        ),
    ).fetchall()
    for row in rows:
        done = plain[row[0] - 1]
        done.later = False
        done.answer = _outcome(done.turns, row)


def _outcome(turns: Sequence[Turn], row: Sequence[Any]) -> Appended:
    info, last = as_info(row[2:]), int(row[1])
    # The record is of the moment of these turns, also if later ones share the statement.
    info = replace(info, turns=info.turns - (info.last_id - last), last_id=last)
    first = last - len(turns) + 1
    stored = [
        replace(turn, id=id, epoch=info.epoch, generation=info.generation)
        for id, turn in enumerate(turns, first)
    ]
    return Appended(stored, [True] * len(stored), info)


Append.together = _append
