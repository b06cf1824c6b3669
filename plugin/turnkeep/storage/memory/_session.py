"""One session's turns and record, and the two longer operations: append and merge."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, NamedTuple

from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from ..._records.turn import Turn
from ..base import Change, Expected, SessionInfo, merged
from ..rules import applied, is_expected, shifted

by_id: Final = attrgetter("id")

_FEW: Final = 100
"""So many deleted turns are taken out one by one; for more the index is made again."""

_CHUNK: Final = 1000
"""The turns that a merge moves before it lets the loop's other tasks run."""


class Known:
    """The ids of a session's turns by their source ids and tokens, the latest of each."""

    __slots__ = ("repeated", "sources", "tokens")

    def __init__(self, turns: Iterable[Turn]) -> None:
        self.repeated = False
        """A source id or a token was on two turns: without the later one, the earlier counts."""
        self.sources: dict[str, int] = {}
        self.tokens: dict[str, int] = {}
        for turn in turns:
            self.add(turn)

    def add(self, turn: Turn) -> None:
        """Add a turn, or what an edit has linked to it."""
        for source in turn.source_ids:
            before = self.sources.get(source, 0)
            self.repeated = self.repeated or before not in (0, turn.id)
            self.sources[source] = max(before, turn.id)
        if turn.token:
            self.repeated = self.repeated or self.tokens.get(turn.token, turn.id) != turn.id
            self.tokens[turn.token] = turn.id

    def remove(self, turn: Turn) -> None:
        """Remove a deleted turn, where no other has one of its names."""
        for source in turn.source_ids:
            self.sources.pop(source, None)
        self.tokens.pop(turn.token, None)


@dataclass
class Held:
    """A session, as the storage holds it."""

    info: SessionInfo
    turns: list[Turn] = field(default_factory=list)
    _known: Known | None = field(default=None, init=False)
    _known_turns: list[Turn] | None = field(default=None, init=False)

    @property
    def known(self) -> Known:
        """The index of the turns. It is made again when they are another list."""
        if self._known is None or self._known_turns is not self.turns:
            self._known, self._known_turns = Known(self.turns), self.turns
        return self._known

    def add(self, turns: list[Turn]) -> None:
        """Add turns at the end."""
        known = self.known
        self.turns += turns
        for turn in turns:
            known.add(turn)

    def change(self, place: int, turn: Turn) -> None:
        """Put an edited turn in its place."""
        self.turns[place] = turn
        self.known.add(turn)

    def find(self, source_id: str) -> Turn | None:
        """Return the latest turn with this source id."""
        place = self.place(self.known.sources.get(source_id, 0))
        return None if place is None else self.turns[place]

    def place(self, turn_id: int) -> int | None:
        place = bisect_left(self.turns, turn_id, key=by_id)
        return place if self.turns[place : place + 1] and self.turns[place].id == turn_id else None

    def changed(
        self, changes: Mapping[int, Change | None]
    ) -> tuple[list[Turn], dict[int, Turn | None]]:
        """Return those of the turns that are there, and for each changed place what is to be."""
        places = {
            turn_id: place
            for turn_id in sorted(changes)
            if (place := self.place(turn_id)) is not None
        }
        there, differing = applied((self.turns[place] for place in places.values()), changes)
        return there, {places[turn_id]: turn for turn_id, turn in differing.items()}

    def with_changes(self, differing: Mapping[int, Turn | None]) -> list[Turn]:
        """Return the turns with these in their places, without those that are None."""
        for place, turn in differing.items():
            if turn is not None:
                self.change(place, turn)
        gone = [place for place, turn in differing.items() if turn is None]
        if len(gone) > _FEW or (gone and self.known.repeated):
            return [turn for place, turn in enumerate(self.turns) if differing.get(place, turn)]
        for place in sorted(gone, reverse=True):
            self.known.remove(self.turns.pop(place))
        return self.turns

    def is_as(self, expected: Expected | None) -> bool:
        if expected is None:
            return True
        turn = expected.turn
        return is_expected(self.info, expected) and (turn is None or self.place(turn) is not None)


class Outcome(NamedTuple):
    """The stored turn for each given one, the flags of the new ones, and the turns to add."""

    turns: list[Turn]
    new: list[bool]
    added: list[Turn]
    again: bool
    """True if an earlier append under the same tokens has stored them all."""


def outcome(session: Held, turns: Sequence[Turn], dedupe: bool) -> Outcome:
    """Return the outcome of an append of these turns to a session."""
    info, known = session.info, session.known
    stored, new, added = list[Turn](), list[bool](), list[Turn]()
    earlier: dict[str, Turn] = {}
    again = False
    for turn in turns:
        place = before = known.tokens.get(turn.token, 0) if turn.token else 0
        one: Turn | None = None
        if dedupe and not place:
            for source in turn.source_ids:
                place, one = known.sources.get(source, 0), earlier.get(source)
                if place or one:
                    break
        if place:
            found = session.place(place)
            assert found is not None
            one = session.turns[found]
        again = again or before > 0
        new.append(before > 0 or one is None)
        if one is None:
            next_id = info.last_id + len(added) + 1
            one = replace(turn, id=next_id, epoch=info.epoch, generation=info.generation)
            added.append(one)
            if dedupe:
                earlier.update(dict.fromkeys(one.source_ids, one))
        stored.append(one)
    return Outcome(stored, new, added, again and not added)


async def joined(old: Held, new: Held) -> Held:
    """Return the merged session with the turns of both."""
    info, ids, epochs = merged(old.info, new.info)
    if not (old.turns and new.turns):
        return Held(info, old.turns or new.turns)
    turns: list[Turn] = []
    for session, up in ((old, (0, 0)), (new, (ids, epochs))):
        for start in range(0, len(session.turns), _CHUNK):
            part = session.turns[start : start + _CHUNK]
            turns += [shifted(turn, *up, info.generation) for turn in part]
            await checkpoint()
    return Held(info, turns)
