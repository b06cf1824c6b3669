"""The messages that are being answered, or were: in this process, by the turns' lasting names."""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict
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
        return turn.ref if info is None else info.ref(turn.id)

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

    def open(self, turn: Turn) -> None:
        """Notes that a reply to the turn begins."""
        self._open[self.name(turn)] += 1

    def close(self, turn: Turn) -> None:
        """Notes that a reply to the turn has ended."""
        name = self.name(turn)
        self._open[name] -= 1
        if self._open[name] <= 0:
            del self._open[name]

    def give(self, turn: Turn) -> None:
        """Notes that an answer to the turn is stored."""
        self._given[self.name(turn)] = None
        if len(self._given) > _ANSWERS_KEPT:
            self._given.popitem(last=False)

    def take_back(self, turn: Turn) -> None:
        """Notes that the answer to the turn was taken away."""
        self._given.pop(self.name(turn), None)

    def first_open(self, info: SessionInfo) -> int:
        """Return the lowest id in this session to which a reply is open; else one above all."""
        places = (info.place(ref) for ref in self._open)
        return min((place for place in places if place is not None), default=sys.maxsize)
