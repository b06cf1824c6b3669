"""The deletion of one person's turns in a session, with their answers and quotes."""

from __future__ import annotations

from functools import partial

from .._records.identity import Expected
from .._records.quote import quotes, requoted
from ..storage.base import Change
from .conversation import Conversation
from .reading import Turns

__all__ = ["forget_sender"]


async def forget_sender(conversation: Conversation, sender_id: str) -> int:
    """Delete a person's turns; return how many turns were deleted or lost a quote."""
    desk, key = conversation.desk, conversation.key
    while True:
        info = await desk.info(key)
        if info is None:
            return 0
        turns = [turn async for turn in Turns(desk, key, "all", 0)]
        theirs = {turn.id for turn in turns if turn.sender and turn.sender.id == sender_id}
        theirs |= {turn.id for turn in turns if turn.answers_one_of(theirs)}
        sources = {source for turn in turns if turn.id in theirs for source in turn.source_ids}
        left = [turn for turn in turns if turn.id not in theirs]
        quoting = [one for one in left if quotes(one, source_ids=sources, sender_id=sender_id)]
        changes: dict[int, Change | None] = dict.fromkeys(theirs)
        for turn in quoting:
            content, extra = requoted(turn, None)
            changes[turn.id] = Change(content=content, extra=extra)
        if not changes:
            return 0
        # All of it is one rewrite, so a call that broke off has done everything or nothing.
        async with desk.use(key, write=True) as storage:
            expected = Expected(info.generation)
            done, _ = await desk.surely(partial(storage.change, key, changes, expected=expected))
            now = info if done else (await storage.read(key, limit=0)).info
        if now is None or now.generation == info.generation:
            return len(changes)
        # The session was merged meanwhile, so its ids have changed.
