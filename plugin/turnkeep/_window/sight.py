"""Choose the stored turns that a window may show. All functions are pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .._records.info import SessionInfo
from .._records.turn import Turn
from .message import is_said_by_user

__all__ = [
    "View",
    "as_of",
    "begins_in",
    "chosen_turns",
    "consolidated",
    "in_epoch",
    "narrows",
    "visible",
]


@dataclass(slots=True)
class View:
    """The part of the session that a window may show.

    - `as_of`: the id of a turn. Later user turns and their answers are left out.
    - `before_answer`: the id of a user turn. Its stored answers are left out, since it is
      about to be answered again.
    """

    as_of: int | None = None
    before_answer: int | None = None


def visible(
    info: SessionInfo, turns: Sequence[Turn], view: View, *, complete: bool
) -> tuple[list[Turn], bool]:
    """Return the turns that a window may show, and True if no earlier ones exist."""
    shown = in_epoch(info, turns)
    complete = complete or begins_in(info, turns)
    if view.as_of is not None:
        shown = as_of(shown, view)
    floor = consolidated(info, shown, turns)
    if floor is not None:
        return [turn for turn in shown if turn.id > floor], True
    return shown, complete


def in_epoch(info: SessionInfo, turns: Iterable[Turn]) -> list[Turn]:
    """Return the turns of the current epoch that are not hidden."""
    epoch = info.epoch
    return [turn for turn in turns if turn.epoch == epoch and not turn.hidden]


def begins_in(info: SessionInfo, turns: Sequence[Turn]) -> bool:
    """Return True if the current epoch begins within these turns."""
    return bool(turns) and turns[0].epoch != info.epoch


def consolidated(info: SessionInfo, shown: Sequence[Turn], turns: Sequence[Turn]) -> int | None:
    """Return the id of the last summarized turn, or None if it is before all of `turns`."""
    pointer = info.last_consolidated
    if not pointer or not shown:
        return None
    return _whole_exchanges(shown, pointer, reached=turns[0].id <= pointer + 1)


def narrows(view: View, turns: Sequence[Turn]) -> bool:
    """Return True if the view leaves out any of these stored turns."""
    as_of, before_answer = view.as_of, view.before_answer
    if as_of is None:
        return False
    if before_answer is not None and before_answer != as_of:
        return True
    for turn in reversed(turns):
        if turn.id <= as_of:
            return False
        if turn.role == "user" or turn.answers is None or turn.answers == before_answer:
            return True
    return False


def chosen_turns(turns: Iterable[Turn], leaving_out: Callable[[Turn], bool]) -> list[Turn]:
    """Return the turns that a caller does not leave out.

    An answer that names no question answers the latest user turn, and goes with it. (`arrange`
    leaves out one that names a user turn which is not there.)
    """
    chosen: list[Turn] = []
    is_out = False
    for turn in turns:
        is_left = leaving_out(turn)
        if turn.role == "user":
            is_out = is_left
        elif is_out and turn.answers is None and turn.role != "system":
            continue
        if not is_left:
            chosen.append(turn)
    return chosen


def as_of(turns: Iterable[Turn], view: View) -> list[Turn]:
    """Return the turns that a view with `as_of` leaves in sight."""
    latest, before_answer = view.as_of or 0, view.before_answer
    # An answer to a user turn after `latest` finds no exchange, so `arrange` leaves it out; so
    # does one that a damaged file has before its question.
    return [
        turn
        for turn in turns
        if (
            turn.id <= latest
            if turn.role == "user" or turn.answers is None
            else turn.answers != before_answer or turn.id < turn.answers
        )
    ]


def _whole_exchanges(turns: Sequence[Turn], pointer: int, *, reached: bool) -> int | None:
    """Return `pointer` moved back to just before a user turn, at most the latest one.

    Return None if that is before all of `turns`. `reached` is true if they go back to the
    pointer.
    """
    users = [turn.id for turn in turns if is_said_by_user(turn)]
    if users and pointer >= users[-1]:
        return users[-1] - 1
    if not users or not reached:
        return None
    behind = next(turn for turn in turns if turn.id > pointer and turn.role != "system")
    if is_said_by_user(behind):
        return pointer
    return next((id - 1 for id in reversed(users) if id <= pointer), None)
