"""The deletion of one person's turns in a session, with their answers and quotes.

An adapter may fetch messages from its platform that are not stored: whoever replies to an old
message brings it back. What was forgotten may still stand there. So the store keeps the time of
the forgetting, in a claim, since no session may be left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Final

from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.turn import Turn
from ..storage.base import Change, Storage
from .conversation import Conversation
from .reading import Turns
from .rewriting import rewrite, without_quotes

__all__ = ["FETCHES", "end_fetching", "fetched_since", "fetches", "forget_sender"]

FETCHES: Final = "fetches"
"""In a session's metadata, if an adapter fetches messages for it."""

_MARK: Final = "forgotten"


def fetches(info: SessionInfo | None) -> bool:
    """Return True if an adapter fetches messages for a session that are not stored."""
    return info is not None and FETCHES in info.metadata


async def end_fetching(storage: Storage, key: SessionKey) -> None:
    """Let no message be fetched that was said before now."""
    since = datetime.now(timezone.utc).isoformat()
    await storage.claim(key, _MARK, owner=_MARK, ttl=math.inf, payload={"since": since})


async def fetched_since(storage: Storage, key: SessionKey) -> datetime | None:
    """Return the time before which no message may be fetched; None if all may be."""
    for claim in await storage.claims(key=key):
        if claim.name == _MARK:
            return datetime.fromisoformat(claim.payload["since"])
    return None


async def forget_sender(conversation: Conversation, sender_id: str) -> list[Turn]:
    """Delete a person's turns; return those that were deleted or lost a quote, as they were."""
    desk, key = conversation.desk, conversation.key
    seen: list[SessionInfo] = []
    there: dict[int, Turn] = {}

    async def plan(info: SessionInfo) -> Mapping[int, Change | None]:
        seen[:] = [info]
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
    if changed and any(map(fetches, seen)):
        async with desk.use(key, write=True) as storage:
            await end_fetching(storage, key)
    return [there[id] for id in sorted(changed)]
