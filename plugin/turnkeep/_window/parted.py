"""Show a question that is parted from its answer. All functions are pure.

Two things part them while the answer is on its way:

- A merge makes the turns of one session earlier epochs of another one. The answer is stored in
  the current epoch, since the bot says it now, and its question stays behind.
- A consolidation folds the question. The answer is stored as a late one: `answers` is None, and
  `also_answers` has the question.

Windows show both together, at the place of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from .._records.info import SessionInfo
from .._records.turn import Turn
from .sight import begins_in, consolidated, in_epoch

__all__ = ["as_late", "first_answers", "is_folded", "parted_questions", "with_questions"]

replace: Final = msgspec.structs.replace


def is_folded(info: SessionInfo, turn: Turn) -> bool:
    """Return True if the turn answers a question that is folded, and is not folded itself."""
    asked = turn.answers
    return (
        asked is not None
        and asked <= info.last_consolidated < turn.id
        and info.asked_in(asked) == info.epoch
    )


def as_late(turn: Turn) -> Turn:
    """Return an answer as it is stored if its question is folded."""
    return replace(turn, answers=None, also_answers=_answered(turn))


def _answered(turn: Turn) -> tuple[int, ...]:
    return turn.also_answers if turn.answers is None else (*turn.also_answers, turn.answers)


def parted_questions(info: SessionInfo, turns: Sequence[Turn], *, complete: bool) -> set[int]:
    """Return the ids of the questions that these turns of the current epoch are parted from.

    `turns` are the newest ones, and `complete` is true if there are no earlier ones. An answer
    whose beginning may be missing is left out, as its exchange is.
    """
    behind = [one for one in info.origins if info.epoch_of(one.generation) != info.epoch]
    last = max((one.ids + one.last_id for one in behind), default=0)
    parted = [
        turn
        for turn in turns
        if (turn.also_answers if turn.answers is None else turn.answers <= last)
    ]
    late, moved = set[int](), set[int]()
    for turn in parted:
        if turn.epoch == info.epoch:
            (late if turn.answers is None else moved).update(_answered(turn))
    ids = late | {
        id for id in moved if any(one.ids < id <= one.ids + one.last_id for one in behind)
    }
    if ids and not (complete or begins_in(info, turns)):
        ids.difference_update(_answered(turns[0]))
    return ids


def first_answers(
    info: SessionInfo, turns: Sequence[Turn], questions: Mapping[int, Turn]
) -> dict[int, int]:
    """Return for each question, by its id, the id of the first of the turns it is parted from."""
    found: dict[int, int] = {}
    for turn in turns:
        if turn.epoch == info.epoch:
            for id in _answered(turn):
                if id in questions and _is_parted(turn, questions[id]):
                    found.setdefault(id, turn.id)
    return found


def _is_parted(turn: Turn, question: Turn) -> bool:
    return turn.answers is None or turn.epoch != question.epoch


def with_questions(
    info: SessionInfo, turns: Sequence[Turn], questions: Mapping[int, Turn]
) -> list[Turn]:
    """Return the turns, with each parted question in front of its first answer, by that one's id.

    `questions` are those that are still stored, by their ids.
    """
    epoch = in_epoch(info, turns)
    floor = consolidated(info, epoch, turns) or 0
    seen = {turn.id for turn in epoch if turn.id > floor}  # the latest user turn is never folded
    apart = {id: turn for id, turn in questions.items() if id not in seen}
    places = first_answers(info, turns, apart)
    shown: list[Turn] = []
    for turn in turns:
        asked = [apart[id] for id in _answered(turn) if places.get(id) == turn.id]
        shown += [replace(one, id=turn.id, epoch=turn.epoch) for one in asked]
        main = turn.also_answers[-1] if turn.answers is None and turn.also_answers else turn.answers
        if main in apart and _is_parted(turn, apart[main]):
            main = places.get(main, main)
        shown.append(turn if main == turn.answers else replace(turn, answers=main))
    return shown
