"""From where on a session shows anything, kept from one window to the next.

A channel may have thousands of notes, hidden turns or service messages before the first turn that
a window shows. Only a look at all of them tells that there is nothing. Nothing that is stored
later shows them: an edit or a deletion does, and raises the revision.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

from .._records.info import SessionInfo
from .._records.turn import Turn

__all__ = ["Beginnings"]

_KEPT: Final = 16 * 1024
"""Sessions; each costs some 250 bytes."""


class _Beginning(NamedTuple):
    epoch: int
    revision: int
    id: int
    """No turn of the epoch before this one is shown."""


class Beginnings:
    """The ids from which on sessions show anything, by their generations."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Beginning] = OrderedDict()

    def note(self, info: SessionInfo, first: int | None) -> None:
        """Remember what a look at the whole epoch found; None if there was none."""
        if first is None:
            return
        self._known[info.generation] = _Beginning(info.epoch, info.revision, first)
        self._known.move_to_end(info.generation)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)

    def past(
        self, info: SessionInfo, turns: Sequence[Turn], *, complete: bool
    ) -> tuple[Sequence[Turn], bool]:
        """Return the turns, and whether the epoch has none to show before them.

        `turns` are the newest of the session. Those of which it is known that they are not shown
        are left out.
        """
        known = self._known.get(info.generation)
        if complete or known is None or not turns or turns[0].id > known.id:
            return turns, complete
        if (known.epoch, known.revision) != (info.epoch, info.revision):
            return turns, complete
        return [turn for turn in turns if turn.id >= known.id], True

    def forget(self, generation: str) -> None:
        """Drop what is known of a session."""
        self._known.pop(generation, None)
