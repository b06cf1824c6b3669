"""The message in hand begins the conversation that its own handler asks for by `clear`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from .._records.turn import Turn
from .._session.conversation import Conversation
from ._owed import debts_of

__all__ = ["begin_anew"]

replace: Final = structs.replace


async def begin_anew(
    conversation: Conversation, hand: Sequence[Turn], *, erased: bool
) -> list[Turn]:
    """Move messages in hand from before a `clear` behind it, and return them as stored there.

    They keep their names, so what is owed to them is theirs still. A message that was deleted
    meanwhile stays deleted; only if the clear `erased` them all, that is not known.
    """
    left: list[tuple[Turn, Turn]] = []
    for turn in hand:
        there = turn if erased else await conversation.delete(turn)
        if there is not None:
            left.append((turn, replace(there, id=0, epoch=1, generation="", token="")))
    if not left:
        return []
    desk = conversation.desk
    appended = await desk.append(conversation.key, [again for _, again in left])
    assert appended is not None
    for (before, _), turn in zip(left, appended.turns, strict=True):
        debt = debts_of(desk).of(before)
        desk.answers.move(before, turn)
        if debt is not None:
            debt.note_place(turn)
    return appended.turns
