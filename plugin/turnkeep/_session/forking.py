"""Copy a conversation up to a turn into another session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from .._errors import InvalidTurnError
from .._records.key import SessionKey
from .._records.turn import Turn
from .conversation import Conversation
from .reading import Turns
from .variants import question_of

__all__ = ["fork"]

replace: Final = msgspec.structs.replace


async def fork(conversation: Conversation, at: Turn, to: SessionKey) -> list[Turn]:
    """Store copies of the turns up to `at`, of its epoch, at the end of the session `to`.

    All of them are stored in one step, or none.
    """
    desk, where = conversation.desk, conversation.where
    turns = [turn async for turn in Turns(desk, conversation.key, at.epoch, 0) if turn.id <= at.id]
    copied = _one_answer_each(turns, at)
    if not copied or copied[-1].id != at.id:
        raise InvalidTurnError(f"{where}there is no turn {at.id} to fork at")
    while True:
        there = await desk.info(to)
        if there is not None and there.generation == copied[0].generation:
            raise InvalidTurnError(f"{where}a fork needs another key than {to.text!r}")
        first = 1 if there is None else there.last_id + 1
        places = {turn.id: place for place, turn in enumerate(copied, first)}
        made = [_moved(turn, places) for turn in copied]
        expected = None if there is None else there.expected(revision=True)
        appended = await desk.append(to, made, expected=expected, dedupe=False)
        if appended is not None:
            return appended.turns


def _one_answer_each(turns: Sequence[Turn], at: Turn) -> list[Turn]:
    """Return the turns with one answer to each question, as the conversation stood at `at`.

    It is the answer that `at` is a part of, else the one that is shown, else the latest.
    """
    best: dict[int | None, Turn] = {}

    def rank(turn: Turn) -> tuple[bool, bool, int]:
        is_meant = turn.variant == at.variant and question_of(turn) == question_of(at)
        return is_meant, not turn.hidden, turn.id

    for turn in turns:
        if turn.role != "user" and turn.variant:
            asked = question_of(turn)
            best[asked] = max(best.get(asked, turn), turn, key=rank)
    return [
        replace(turn, hidden=False, variant="") if turn.variant else turn
        for turn in turns
        if turn.role == "user"
        or not turn.variant
        or best[question_of(turn)].variant == turn.variant
    ]


def _moved(turn: Turn, places: dict[int, int]) -> Turn:
    """Return the turn as it will stand in the other session."""
    return replace(turn.answering_at(places), id=0, epoch=1, generation="", token="")
