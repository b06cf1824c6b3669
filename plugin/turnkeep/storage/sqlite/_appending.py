"""Appends, all that wait together in a few statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import field

from ..._errors import StorageError
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import Appended, Expected, TurnRef
from ..rules import placed
from . import _clock
from ._held import Held
from ._lane import Op
from ._rows import Part, micros, replace
from ._sessions import Sessions
from ._sql import insert

_HEAD: Final = (
    "UPDATE sessions SET updated = new.column2, turns = new.column3, last_id = new.column4 "
    "FROM (VALUES "
)
_TAIL: Final = ") AS new WHERE sessions.id = new.column1"


class AppendOp(Op, eq=False, kw_only=True):
    """The arguments of an append."""

    key: SessionKey
    turns: Sequence[Turn]
    expected: Expected | None
    dedupe: bool
    at: TurnRef | None = None
    added: list[Turn] = field(default_factory=list)


class _Known:
    """The turns that have one of the names in hand: those stored, and those of this batch."""

    def __init__(self, sessions: Sessions, table: str, names: set[str]) -> None:
        self._sessions = sessions
        self._stored = sessions.places(table, names)
        self._fresh: dict[tuple[int, str], Turn] = {}

    def find(self, held: Held | None, name: str) -> Turn | None:
        if held is None:
            return None
        fresh = self._fresh.get((held.row, name)) if self._fresh else None
        if fresh is not None or not self._stored:
            return fresh
        return self._sessions.named(held, self._stored.get(name, ()))

    def add(self, held: Held, name: str, turn: Turn) -> None:
        self._fresh[held.row, name] = turn


class Appending:
    """A group of appends within one transaction, in their order."""

    def __init__(self, sessions: Sessions, ops: Sequence[AppendOp]) -> None:
        self._sessions = sessions
        self._ops = ops
        self._now = _clock.now()
        sources = {one for op in ops if op.dedupe for turn in op.turns for one in turn.source_ids}
        tokens = {turn.token for op in ops for turn in op.turns if turn.token}
        self._sources = _Known(sessions, "sources", sources)
        self._tokens = _Known(sessions, "tokens", tokens)
        self._stored: list[tuple[Part, Turn]] = []
        self._written: dict[str, Held] = {}

    def run(self) -> None:
        """Do all of them; one whose session is unreadable has its error."""
        for op in self._ops:
            try:
                op.result = self._append(op)
            except StorageError as error:
                op.error = error
        self._sessions.add(self._stored)
        rows = [
            (held.row, micros(self._now), held.info.turns, held.info.last_id)
            for held in self._written.values()
        ]
        insert(self._sessions.db, _HEAD, rows, _TAIL)

    def _append(self, op: AppendOp) -> Appended | None:
        held = self._sessions.get(op.key)
        added: list[Turn] = []
        names: dict[tuple[str, str], Turn] = {}

        def named(kind: Literal["token", "source"], name: str) -> Turn | None:
            known = self._tokens if kind == "token" else self._sources
            return names.get((kind, name)) or known.find(held, name)

        def put(turn: Turn) -> None:
            added.append(turn)
            names.update((("source", one), turn) for one in turn.source_ids)
            if turn.token:
                names["token", turn.token] = turn

        info = held.info if held else self._sessions.begun(op.key, self._now, op.at)
        found = placed(
            info,
            op.turns,
            named=named,
            put=put,
            refused=op.expected is not None
            and (held is None or not self._sessions.is_as(held, op.expected)),
            dedupe=op.dedupe,
            at=op.at,
        )
        if found is None:
            return None
        if added:
            held = self._store(held or self._sessions.begin(op.key, info), added)
        return found[0]._replace(info=held.info if held else None)

    def _store(self, held: Held, added: Sequence[Turn]) -> Held:
        part = held.parts[-1]
        for turn in added:
            self._stored.append((part, turn))
            for source in turn.source_ids:
                self._sources.add(held, source, turn)
            if turn.token:
                self._tokens.add(held, turn.token, turn)
        count = len(added)
        info = replace(
            held.info,
            updated_at=self._now,
            turns=held.info.turns + count,
            last_id=held.info.last_id + count,
        )
        held = held.appended(info, added)
        self._sessions.keep(held)
        self._written[info.key.text] = held
        return held
