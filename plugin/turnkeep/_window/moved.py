"""Show a question of an earlier epoch where its answer stands. All functions are pure.

A merge makes the turns of one session earlier epochs of another one. An answer that is on its
way then is stored in the current epoch, since the bot says it now. Its question stays behind.
Windows show both together, at the place of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from .._records.info import SessionInfo
from .._records.turn import Turn
from .sight import begins_in

__all__ = ["first_answers", "moved_questions", "with_questions"]

replace: Final = msgspec.structs.replace


def moved_questions(info: SessionInfo, turns: Sequence[Turn], *, complete: bool) -> set[int]:
    """Return the ids of the questions that the current epoch answers and does not have.

    `turns` are the newest ones, and `complete` is true if there are no earlier ones. An answer
    whose beginning may be missing is left out, as its exchange is.
    """
    behind = [one for one in info.origins if info.epoch_of(one.generation) != info.epoch]
    last = max((one.ids + one.last_id for one in behind), default=0)
    answers = [turn for turn in turns if turn.answers is not None and turn.answers <= last]
    ids = {id for turn in answers if turn.epoch == info.epoch for id in _answered(turn)}
    if ids and not (complete or begins_in(info, turns)):
        ids.difference_update(_answered(turns[0]))
    return {id for id in ids if any(one.ids < id <= one.ids + one.last_id for one in behind)}


def _answered(turn: Turn) -> tuple[int, ...]:
    return turn.also_answers if turn.answers is None else (*turn.also_answers, turn.answers)


def first_answers(turns: Sequence[Turn], questions: Mapping[int, Turn]) -> dict[int, int]:
    """Return for each question, by its id, the id of the first of the turns that answers it."""
    found: dict[int, int] = {}
    for turn in turns:
        for id in _answered(turn):
            if id in questions:
                found.setdefault(id, turn.id)
    return found


def with_questions(turns: Sequence[Turn], questions: Mapping[int, Turn]) -> list[Turn]:
    """Return the turns, with each question in front of its first answer, by that one's id."""
    places = first_answers(turns, questions)
    shown: list[Turn] = []
    for turn in turns:
        asked = [questions[id] for id in _answered(turn) if places.get(id) == turn.id]
        shown += [replace(question, id=turn.id, epoch=turn.epoch) for question in asked]
        place = places.get(turn.answers or 0)
        shown.append(turn if place is None else replace(turn, answers=place))
    return shown
