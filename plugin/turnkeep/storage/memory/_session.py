"""One session's turns and record, and the two longer operations: append and merge."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, NamedTuple

from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from ..._records.turn import Turn
from ..base import (
    DEDUPE_TURNS,
    Change,
    Expected,
    SessionInfo,
    dedupe_index,
    is_expected,
    merged,
    shifted,
)

by_id: Final = attrgetter("id")

_CHUNK: Final = 1000
"""The turns that a merge moves before it lets the loop's other tasks run."""


@dataclass
class Held:
    """A session, as the storage holds it."""

    info: SessionInfo
    turns: list[Turn] = field(default_factory=list)

    def place(self, turn_id: int) -> int | None:
        place = bisect_left(self.turns, turn_id, key=by_id)
        return place if self.turns[place : place + 1] and self.turns[place].id == turn_id else None

    def changed(
        self, changes: Mapping[int, Change | None]
    ) -> tuple[list[Turn], dict[int, Turn | None]]:
        """Return those of the turns that are there, and for each changed place what is to be."""
        there: list[Turn] = []
        differing: dict[int, Turn | None] = {}
        for turn_id in sorted(changes):
            place, change = self.place(turn_id), changes[turn_id]
            if place is not None:
                turn = self.turns[place]
                after = None if change is None else change.apply(turn)
                if after is not turn:
                    differing[place] = after
                there.append(after or turn)
        return there, differing

    def with_changes(self, differing: Mapping[int, Turn | None]) -> list[Turn]:
        """Return the turns with these in their places, without those that are None."""
        for place, turn in differing.items():
            if turn is not None:
                self.turns[place] = turn
        if None not in differing.values():
            return self.turns
        return [turn for place, turn in enumerate(self.turns) if differing.get(place, turn)]

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
    info, latest = session.info, session.turns[-DEDUPE_TURNS:]
    tokens = {turn.token: turn for turn in latest if turn.token}
    sources = dedupe_index(latest) if dedupe else {}
    result = Outcome([], [], [], any(turn.token in tokens for turn in turns))
    for turn in turns:
        stored = before = tokens.get(turn.token)
        if before is None:
            stored = next((sources[one] for one in turn.source_ids if one in sources), None)
        result.new.append(before is not None or stored is None)
        if stored is None:
            next_id = info.last_id + len(result.added) + 1
            stored = replace(turn, id=next_id, epoch=info.epoch, generation=info.generation)
            result.added.append(stored)
            if dedupe:
                sources.update(dict.fromkeys(stored.source_ids, stored))
        result.turns.append(stored)
    return result._replace(again=result.again and not result.added)


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
