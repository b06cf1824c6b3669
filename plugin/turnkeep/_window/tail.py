"""The arranged end of a session, kept from one window to the next.

Most windows are those before with a message or two behind. So what was arranged is kept,
with the turns that it was made of, and goes on as long as the stored turns do: they are
compared each time, so that an edit, or what another process wrote, is never missed. A window
is the same with it and without.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from .._records.info import SessionInfo
from .._records.turn import Turn
from .arrange import Arrangement, Unanswered, in_epoch

__all__ = ["Tail", "Tails"]

KEPT_TURNS: Final = 64 * 1024
"""Some 350 bytes each, beside the turns themselves, which the storage mostly has too."""

_TAIL_OVERHEAD: Final = 8
"""What a tail weighs beside its turns, in turns."""


class Tail:
    """What was arranged of one session."""

    __slots__ = ("_arrangement", "_epoch", "_turns", "_unanswered", "weight")

    def __init__(self) -> None:
        self.weight = 0
        self._turns: list[Turn] = []
        self._epoch = 0
        self._unanswered: Unanswered = "result"
        self._arrangement = Arrangement()

    def arranged(
        self, info: SessionInfo, turns: Sequence[Turn], unanswered: Unanswered
    ) -> tuple[Arrangement, int]:
        """What is arranged, and the first exchange of `turns`, the session's newest, in it."""
        known = self._turns
        new = self._new(turns) if self._epoch == info.epoch else None
        # More than the turns in hand are kept, so that this is seldom.
        if new is None or unanswered != self._unanswered or len(known) + len(new) > 4 * len(turns):
            self._arrangement = Arrangement(unanswered)
            self._epoch, self._unanswered = info.epoch, unanswered
            self._turns = known = []
            new = turns
        if new:
            known += new
            self._arrangement.extend(in_epoch(info, new))
        arranged = self._arrangement
        return arranged, bisect_left(arranged.ids, turns[0].id) if turns else 0

    def _new(self, turns: Sequence[Turn]) -> Sequence[Turn] | None:
        """Those behind the ones that are known; None if they do not go on from these."""
        known = self._turns
        if not known or not turns:
            return None
        old = len(turns) - (turns[-1].id - known[-1].id)
        if not 0 < old <= min(len(turns), len(known)) or turns[:old] != known[-old:]:
            return None
        return turns[old:]


class Tails:
    """Those of a store: of the sessions whose windows were asked for last."""

    def __init__(self) -> None:
        self._tails: OrderedDict[str, Tail] = OrderedDict()
        self._weight = 0

    def of(self, session: str, turns: int) -> Tail:
        """The tail of a session, of whose window so many turns were read."""
        tail = self._tails.get(session)
        if tail is None:
            tail = self._tails[session] = Tail()
        else:
            self._tails.move_to_end(session)
        weight = 2 * turns + _TAIL_OVERHEAD  # as it is on average, see `arranged`
        if weight != tail.weight:
            self._weight += weight - tail.weight
            tail.weight = weight
            while self._weight > KEPT_TURNS and len(self._tails) > 1:
                self._weight -= self._tails.popitem(last=False)[1].weight
        return tail

    def forget(self, session: str) -> None:
        """Lets go of what was said there."""
        tail = self._tails.pop(session, None)
        if tail is not None:
            self._weight -= tail.weight
