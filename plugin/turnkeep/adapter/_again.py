"""Another answer to a message that has one, as the button under it asks for."""

from __future__ import annotations

from .._records.turn import Turn
from .._session.reading import turn_at
from ._buttons import Regenerate, authors_of, under_way
from ._chat import ChatSession

__all__ = ["regenerate"]


async def regenerate(session: ChatSession, source_id: str, by: str, answer: Regenerate) -> bool:
    """Let `answer` give the answer in a message once more; return False if it is not given.

    The old answer stays until the new one is stored. `by` is the person who asks: one of those
    whose question it is.
    """
    async with under_way(session.conversation.desk).again(source_id) as may_begin:
        old = await session.find(source_id) if may_begin else None
        asked = [] if old is None else await _question_of(session, old)
        people = authors_of(asked)
        if not asked or (people and by not in people):
            return False
        *joined, question = asked
        await answer(session.bind(question, joined=joined).replacing())
        return True


async def _question_of(session: ChatSession, answer: Turn) -> list[Turn]:
    """Return the messages that a turn answers, the latest last; none if they are gone."""
    if answer.role != "assistant" or answer.answers is None:
        return []
    desk, key = session.conversation.desk, session.conversation.key
    asked = sorted({*answer.also_answers, answer.answers})
    found = [turn for id in asked if (turn := await turn_at(desk, key, id)) is not None]
    return found if found and found[-1].id == answer.answers else []
