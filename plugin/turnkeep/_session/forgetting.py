"""The deletion of one person's turns in a session, with their answers and quotes."""

from __future__ import annotations

from collections.abc import Mapping

from .._records.info import SessionInfo
from .._records.turn import Turn
from ..storage.base import Change
from .conversation import Conversation
from .reading import Turns
from .rewriting import rewrite, without_quotes

__all__ = ["forget_sender"]


async def forget_sender(conversation: Conversation, sender_id: str) -> list[Turn]:
    """Delete a person's turns; return those that were deleted or lost a quote, as they were."""
    desk, key = conversation.desk, conversation.key
    there: dict[int, Turn] = {}

    async def plan(_: SessionInfo) -> Mapping[int, Change | None]:
        turns = [turn async for turn in Turns(desk, key, "all", 0)]
        theirs = {turn.id for turn in turns if turn.sender and turn.sender.id == sender_id}
        theirs |= {turn.id for turn in turns if turn.answers_one_of(theirs)}
        sources = {source for turn in turns if turn.id in theirs for source in turn.source_ids}
        left = [turn for turn in turns if turn.id not in theirs]
        quoting = without_quotes(left, source_ids=sources, sender_id=sender_id)
        changes = {**quoting, **dict.fromkeys(theirs)}
        there.update((turn.id, turn) for turn in turns)
        return changes

    # All of it is one rewrite, so a call that broke off has done everything or nothing.
    changed = await rewrite(desk, key, plan)
    return [there[id] for id in sorted(changed)]
