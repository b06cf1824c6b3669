"""The part of a session's end that a message far from it sees.

Where thousands of messages wait, the one in hand has all later ones behind it, and its window
needs none of them. The answers to earlier messages stand behind these again. So what was read is
followed from window to window, and the answers are kept by what they answer: a window costs its
own turns, and one look at whether the others are still the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter, is_
from typing import Final

from .._records.turn import Turn

__all__ = ["FAR", "Behind"]

FAR: Final = 64
"""A message with so many turns behind it is far from the end."""

_id: Final = attrgetter("id")


class Behind:
    """The answers among the turns of a session's end, by the ids that they answer."""

    __slots__ = ("_answers", "_count", "_turns")

    def __init__(self) -> None:
        self._turns: Sequence[Turn] = ()
        self._answers: dict[int, list[Turn]] = {}
        self._count = 0

    def sight(self, turns: Sequence[Turn], as_of: int, most: int) -> tuple[Sequence[Turn], bool]:
        """Return the turns up to `as_of` and the answers to them, and whether these are all.

        `turns` are the newest of the session. At most `most` are taken from those up to `as_of`.
        Where all of them are questions and plain answers, each answer stands behind its question,
        so that the next message only adds to the list. The window is the same.
        """
        self._follow(turns)
        end = bisect_right(turns, as_of, key=_id)
        start = max(0, end - most)
        shown = [*turns[start:end]]
        for turn in turns[start:end]:
            if turn.id in self._answers:
                shown += [one for one in self._answers[turn.id] if one.id > as_of]
        shown.sort(key=_by_question if all(map(_is_simple, shown)) else _id)
        return shown, start == 0

    def _follow(self, turns: Sequence[Turn]) -> None:
        new = self._new(turns)
        if new is None or self._count > 2 * len(turns) + FAR:
            self._answers, self._count, new = {}, 0, turns
        for turn in new:
            if turn.answers is not None and turn.role != "user":
                self._answers.setdefault(turn.answers, []).append(turn)
                self._count += 1
        self._turns = turns

    def _new(self, turns: Sequence[Turn]) -> Sequence[Turn] | None:
        """Return the turns after the known ones; None if not all of these are the same ones."""
        known = self._turns
        if not known or not turns:
            return None
        old = len(turns) - (turns[-1].id - known[-1].id)
        if not 0 < old <= min(len(turns), len(known)):
            return None
        return turns[old:] if all(map(is_, turns[:old], known[-old:])) else None


def _is_simple(turn: Turn) -> bool:
    """Return whether a turn's exchange is all that its place depends on."""
    if turn.role == "user":
        return True
    asked = turn.answers
    is_answer = turn.role == "assistant" and not turn.tool_calls
    return is_answer and asked is not None and asked < turn.id


def _by_question(turn: Turn) -> tuple[int, int]:
    asked = None if turn.role == "user" else turn.answers
    return turn.id if asked is None else asked, turn.id
