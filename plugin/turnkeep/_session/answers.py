"""The messages that are being answered, or were: in this process, by the turns' lasting names."""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import Final

from .._records.identity import TurnRef
from .._records.info import SessionInfo
from .._records.turn import Turn

__all__ = ["Answers"]

_ANSWERS_KEPT: Final = 10_000


class Answers:
    """Those of one store.

    A message is known by the first name it ever had, so that a rename, a link or a session
    that begins again changes nothing here. A session's key plays no part.
    """

    def __init__(self) -> None:
        self._open: Counter[TurnRef] = Counter()
        self._given: OrderedDict[TurnRef, None] = OrderedDict()
        self._merged: dict[str, SessionInfo] = {}

    def learn(self, info: SessionInfo) -> None:
        """Notes from which generations a session was merged; call it where `origins` is set."""
        self._merged[info.generation] = info

    def name(self, turn: Turn) -> TurnRef:
        """Return the first name of a turn, as far as merges are known."""
        info = self._merged.get(turn.generation)
        return TurnRef(turn.generation, turn.id) if info is None else info.ref(turn.id)

    def lives(self, turn: Turn) -> tuple[str, ...]:
        """Return a turn's generation, and those that were merged into it, as far as known."""
        info = self._merged.get(turn.generation)
        origins = () if info is None else info.origins
        return (turn.generation, *(origin.generation for origin in origins))

    def is_answered(self, turn: Turn) -> bool:
        """Return whether a reply to the turn is open, or was stored by this process."""
        name = self.name(turn)
        return name in self._open or name in self._given

    def was_given(self, turn: Turn) -> bool:
        """Return whether this process stored an answer to the turn."""
        return self.name(turn) in self._given

    def open(self, turns: Iterable[Turn]) -> list[TurnRef]:
        """Note that a reply to these turns begins; return their names, for `close`."""
        names = [self.name(turn) for turn in turns]
        self._open.update(names)
        return names

    def close(self, names: Iterable[TurnRef], *, given: bool) -> None:
        """Note that a reply has ended; `given` is whether its answer is stored."""
        for name in names:
            self._open[name] -= 1
            if not self._open[name]:
                del self._open[name]
            if given:
                self._give(name)

    def give(self, turns: Iterable[Turn]) -> None:
        """Note that an answer to these turns is stored."""
        for turn in turns:
            self._give(self.name(turn))

    def _give(self, name: TurnRef) -> None:
        self._given[name] = None
        if len(self._given) > _ANSWERS_KEPT:
            self._given.popitem(last=False)

    def take_back(self, turn: Turn) -> None:
        """Notes that the answer to the turn was taken away."""
        self._given.pop(self.name(turn), None)

    def first_open(self, info: SessionInfo) -> int:
        """Return the lowest id in this session to which a reply is open; else one above all."""
        places = (info.place(ref) for ref in self._open)
        return min((place for place in places if place is not None), default=sys.maxsize)
