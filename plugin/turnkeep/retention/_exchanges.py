"""Stored turns in whole exchanges, so that none is erased in half.

Unlike the exchanges of a window, these hold every turn: hidden, blank and system ones too.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from .._records.turn import Turn

__all__ = ["Exchange", "Exchanges"]


class Exchange(NamedTuple):
    """Turns that are kept or erased together, ascending."""

    turns: list[Turn]

    @property
    def newest(self) -> datetime:
        """The time of its newest turn."""
        return max(turn.time for turn in self.turns)


class Exchanges:
    """The exchanges of a session whose turns are added in the order of their ids.

    A turn belongs to the questions that it answers, and a tool's result to its call. A turn that
    answers several questions joins their exchanges into one. Any other turn belongs to the latest
    question of its epoch.
    """

    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self._joined: dict[int, int] = {}
        """An earlier turn of the same exchange, by each turn's id; the first one has itself."""
        self._epoch = 0
        self._latest: int | None = None
        self._calls: dict[str, int] = {}
        self._own_calls: set[tuple[int, str]] = set()

    def add(self, turn: Turn) -> None:
        """Add the next turn."""
        if turn.epoch != self._epoch:
            self._epoch, self._latest = turn.epoch, None
            self._calls.clear()
        self._turns.append(turn)
        first = self._joined[turn.id] = turn.id
        if turn.role == "user":
            self._latest = first
            return
        for other in self._belongs_to(turn):
            first = self._join(first, other)
        if self._latest is None:
            self._latest = first
        for call in turn.tool_calls or ():
            id = str(call.get("id"))
            self._calls[id] = turn.id
            self._own_calls.add((first, id))

    def _belongs_to(self, turn: Turn) -> list[int]:
        """Return turns of the exchanges that the turn is a part of."""
        asked = turn.also_answers if turn.answers is None else (turn.answers, *turn.also_answers)
        found = [id for id in asked if id in self._joined]
        if turn.role == "tool":
            id = str(turn.tool_call_id)
            # Models use an id again: it belongs to its own reply first, then to the latest call.
            is_own = any((self._first(one), id) in self._own_calls for one in found)
            if not is_own and id in self._calls:
                found.append(self._calls[id])
        if not found and self._latest is not None:
            found.append(self._latest)
        return found

    def _first(self, id: int) -> int:
        """Return the first turn of an exchange."""
        first = id
        while self._joined[first] != first:
            first = self._joined[first]
        while id != first:
            self._joined[id], id = first, self._joined[id]
        return first

    def _join(self, one: int, other: int) -> int:
        """Join two exchanges; return the first turn of both."""
        first, second = sorted((self._first(one), self._first(other)))
        self._joined[second] = first
        return first

    def whole(self) -> list[Exchange]:
        """Return the exchanges in the order of their latest questions."""
        found: dict[int, Exchange] = {}
        places: dict[int, int] = {}
        for turn in self._turns:
            first = self._first(turn.id)
            found.setdefault(first, Exchange([])).turns.append(turn)
            if turn.role == "user" or first not in places:
                places[first] = turn.id
        return [found[first] for first in sorted(found, key=places.__getitem__)]
