"""The ends of sessions in use, in memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import Final

import msgspec

from ..._records.turn import Turn
from ..base import SessionInfo, Snapshot
from ._rows import Part

KEEP: Final = 256
"""The turns that stay of a session's end, at least; they are cut at twice as many."""

MOST_KEPT: Final = 16 * 1024
"""For longer windows than that, turns are read each time."""

MOST_TURNS: Final = 64 * 1024
"""The turns of all sessions in memory, at most."""

MOST_SESSIONS: Final = 4096

_by_id: Final = attrgetter("id")


class Held(msgspec.Struct, frozen=True, gc=False):
    """A session at one moment: its record, and its newest turns.

    `turns[:end]` are all its turns with an id above `after`. Later states may share the list,
    and add to it behind `end`; nothing before that ever changes. So a reader on another thread
    needs no lock.
    """

    row: int
    info: SessionInfo
    parts: tuple[Part, ...]
    turns: list[Turn]
    end: int
    after: int
    keep: int = KEEP
    """The turns that stay of its end: as many as its longest window takes."""

    def snapshot(
        self, after: int, before: int | None, limit: int | None, newest: bool
    ) -> Snapshot | None:
        """Return what `Storage.read` does, or None if older turns are needed for it."""
        turns, end = self.turns, self.end
        if before is not None:
            end = bisect_left(turns, before, 0, end, key=_by_id)
        is_whole = after >= self.after
        begin = bisect_right(turns, after, 0, end, key=_by_id) if is_whole and after else 0
        begin = min(begin, end)
        if limit is None or end - begin <= limit:
            return Snapshot(self.info, turns[begin:end]) if is_whole else None
        if newest:
            return Snapshot(self.info, turns[end - limit : end], False)
        return Snapshot(self.info, turns[begin : begin + limit], False) if is_whole else None

    def turn(self, turn_id: int) -> Turn | None:
        """Return a turn if it is in memory."""
        at = bisect_left(self.turns, turn_id, 0, self.end, key=_by_id)
        found = self.turns[at] if at < self.end else None
        return found if found is not None and found.id == turn_id else None

    def appended(self, info: SessionInfo, added: Sequence[Turn]) -> Held:
        """Return the session with these turns behind the others."""
        turns, end, after, keep = self.turns, self.end, self.after, self.keep
        if end + len(added) > 2 * keep:
            after = turns[end - keep - 1].id if end > keep else after
            turns = turns[max(0, end - keep) : end]
            end = len(turns)
        else:
            del turns[end:]  # of a transaction that failed
        turns.extend(added)
        return Held(self.row, info, self.parts, turns, end + len(added), after, keep)

    def changed(self, info: SessionInfo, turns: Sequence[Turn] | None = None) -> Held:
        """Return the session with another record, and other turns in place of these."""
        kept = self.turns[: self.end] if turns is None else list(turns)
        return Held(self.row, info, self.parts, kept, len(kept), self.after, self.keep)


class Cache:
    """The sessions in use that are kept in memory, by the text of their keys.

    One thread changes it, and the loop looks into it. Each operation on its dicts is atomic.
    """

    def __init__(self) -> None:
        self.aliases: dict[str, str] = {}
        self._sessions: dict[str, Held] = {}
        self._turns = 0

    def get(self, text: str) -> Held | None:
        """Return a session by its key, or by an alias."""
        return self._sessions.get(self.aliases.get(text, text))

    def put(self, text: str, held: Held | None) -> None:
        """Hold a session, or no longer. Those that were changed the longest ago go first."""
        before = self._sessions.pop(text, None)
        self._turns -= before.end if before is not None else 0
        if held is None:
            return
        self._sessions[text] = held
        self._turns += held.end
        while self._turns > MOST_TURNS or len(self._sessions) > MOST_SESSIONS:
            self._turns -= self._sessions.pop(next(iter(self._sessions))).end

    def clear(self) -> None:
        """Hold nothing."""
        self.aliases = {}
        self._sessions = {}
        self._turns = 0
