"""The newest turns of sessions in use, so that a window asks only for what is newer.

Nothing here is believed before the server was asked: a read names what it knows, and the script
answers with all if anything before it has changed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from ..._records.turn import Turn
from ..base import SessionInfo

__all__ = ["Tail", "Tails"]

_MOST_SESSIONS: Final = 1000
_MOST_TURNS: Final = 200


class Tail:
    """The newest turns of a session as they stood at a generation and a revision."""

    __slots__ = ("damaged", "generation", "is_whole", "last_id", "revision", "turns")

    def __init__(self, info: SessionInfo, turns: list[Turn], is_whole: bool) -> None:
        self.generation = info.generation
        self.revision = info.revision
        self.damaged = info.damaged
        self.last_id = info.last_id
        self.turns = turns
        self.is_whole = is_whole

    def known(self) -> tuple[str, str, str, str]:
        """Return the arguments by which a script compares it with the session."""
        return self.generation, str(self.revision), str(self.damaged), str(self.last_id)

    def extend(self, info: SessionInfo, turns: Sequence[Turn]) -> None:
        """Add the turns behind it, up to the last one of the record."""
        self.last_id = info.last_id
        self.turns.extend(turns)
        if len(self.turns) > _MOST_TURNS:
            del self.turns[: -_MOST_TURNS // 2]
            self.is_whole = False

    def page(self, limit: int) -> tuple[list[Turn], bool]:
        """Return the newest of them, and True if there are no more."""
        turns = self.turns[-limit:] if limit else []
        return turns, self.is_whole and len(self.turns) <= limit


class Tails:
    """The tails of the sessions that were used last."""

    def __init__(self) -> None:
        self._tails: OrderedDict[str, Tail] = OrderedDict()

    def find(self, key: str, limit: int) -> Tail | None:
        """Return the tail of a session if it is long enough for a page."""
        tail = self._tails.get(key)
        if tail is None or not (tail.is_whole or len(tail.turns) >= limit):
            return None
        self._tails.move_to_end(key)
        return tail

    def keep(self, key: str, tail: Tail) -> None:
        """Keep a tail, and drop the one that was not used for the longest time."""
        self._tails[key] = tail
        self._tails.move_to_end(key)
        if len(self._tails) > _MOST_SESSIONS:
            self._tails.popitem(last=False)

    def appended(self, key: str, info: SessionInfo, added: Sequence[Turn]) -> None:
        """Add what this process stored, if nothing came between."""
        tail = self._tails.get(key)
        if (
            tail is not None
            and added
            and tail.last_id + 1 == added[0].id
            and (tail.generation, tail.revision, tail.damaged)
            == (info.generation, info.revision, info.damaged)
        ):
            tail.extend(info, added)

    def clear(self) -> None:
        """Forget all of them."""
        self._tails.clear()
