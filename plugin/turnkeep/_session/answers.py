"""The messages that this process answers now, or has answered."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import Final

from .._records.identity import TurnRef
from .._records.info import SessionInfo
from .._records.turn import Turn

__all__ = ["Answers"]

_ANSWERS_KEPT: Final = 10_000


class Answers:
    """The answers of one store.

    A message is known by the first name it ever had, never by its session's key. So a rename, a
    link, or a session that begins again changes nothing here.
    """

    def __init__(self) -> None:
        self._open: Counter[TurnRef] = Counter()
        self._given: OrderedDict[TurnRef, None] = OrderedDict()
        self._merged: dict[str, SessionInfo] = {}
        self._moved: OrderedDict[TurnRef, TurnRef] = OrderedDict()

    def learn(self, info: SessionInfo) -> None:
        """Remember the generations that a session was merged from; call it if `origins` is set."""
        self._merged[info.generation] = info

    def name(self, turn: Turn) -> TurnRef:
        """Return the first name of a turn, as far as its merges are known."""
        info = self._merged.get(turn.generation)
        ref = TurnRef(turn.generation, turn.id) if info is None else info.ref(turn.id)
        return self._moved.get(ref, ref) if self._moved else ref

    def move(self, turn: Turn, again: Turn) -> None:
        """Know a message that was stored `again`, at a later place, by the name it had."""
        name = self.name(turn)
        self._moved[self.name(again)] = name
        if len(self._moved) > _ANSWERS_KEPT:
            self._moved.popitem(last=False)

    def lives(self, turn: Turn) -> tuple[str, ...]:
        """Return a turn's generation, and the known generations that were merged into it."""
        info = self._merged.get(turn.generation)
        origins = () if info is None else info.origins
        return (turn.generation, *(origin.generation for origin in origins))

    def is_answered(self, turn: Turn) -> bool:
        """Return True if this process has a reply to the turn open, or has stored one."""
        name = self.name(turn)
        return name in self._open or name in self._given

    def was_given(self, turn: Turn) -> bool:
        """Return True if this process has stored an answer to the turn."""
        return self.name(turn) in self._given

    def open(self, turns: Iterable[Turn]) -> list[TurnRef]:
        """Remember that a reply to these turns is open; return their names, for `close`."""
        names = [self.name(turn) for turn in turns]
        self._open.update(names)
        return names

    def close(self, names: Iterable[TurnRef], *, given: bool) -> None:
        """Forget an open reply. `given` is True if its answer is stored."""
        for name in names:
            self._open[name] -= 1
            if not self._open[name]:
                del self._open[name]
            if given:
                self._give(name)

    def give(self, turns: Iterable[Turn]) -> None:
        """Remember that an answer to these turns is stored."""
        for turn in turns:
            self._give(self.name(turn))

    def _give(self, name: TurnRef) -> None:
        self._given[name] = None
        if len(self._given) > _ANSWERS_KEPT:
            self._given.popitem(last=False)

    def take_back(self, turn: Turn) -> None:
        """Forget the answer to the turn: it was deleted."""
        self._given.pop(self.name(turn), None)

    def open_places(self, info: SessionInfo) -> set[int]:
        """Return the ids of a session's turns with an open reply."""
        return {place for ref in self._open if (place := info.place(ref)) is not None}

    def first_open(self, info: SessionInfo) -> int:
        """Return the lowest id in the current epoch with an open reply, or `sys.maxsize`."""
        return info.first_place(self._open)
