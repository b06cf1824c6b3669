"""The turns that a reply has collected so far, as its windows show them."""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_

import msgspec

from .._records.info import SessionInfo
from .._records.turn import Turn
from .._window.tail import Tail

__all__ = ["Draft", "placed"]


class Draft:
    """The collected turns of one reply, kept from one of its windows to the next."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.tail: Tail = Tail()
        self._collected: list[Turn] = []
        self._placed: list[Turn] = []
        self._at: tuple[int, int, int] = (0, 0, 0)

    def placed(self, info: SessionInfo, shift: int) -> list[Turn]:
        """Return the turns as if they were stored; those of the last window are the same."""
        collected = self.turns
        at = info.last_id, info.epoch, shift
        count = len(self._collected)
        if at != self._at or not all(map(is_, self._collected, collected)):
            count = 0
        count = min(count, len(collected))
        del self._placed[count:], self._collected[count:]
        self._at = at
        self._placed += placed(collected[count:], info, shift, count)
        self._collected += collected[count:]
        return self._placed


def placed(collected: Sequence[Turn], info: SessionInfo, shift: int, first: int = 0) -> list[Turn]:
    """Return turns that are not stored yet, as if they were, behind `first` other ones."""
    return [
        msgspec.structs.replace(
            turn,
            id=info.last_id + place,
            epoch=info.epoch,
            answers=None if turn.answers is None else turn.answers + shift,
        )
        for place, turn in enumerate(collected, first + 1)
    ]
