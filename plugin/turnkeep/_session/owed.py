"""Questions whose answer is owed: the process that was to answer them is gone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from .._records.identity import TurnRef
from .._records.key import SessionKey
from .._records.turn import Turn
from ..storage.base import Claim
from .conversation import Conversation
from .desk import Desk
from .leases import ANSWER, Lease

__all__ = ["Unanswered", "dead_claims", "message_of", "take_over", "unanswered"]


class Unanswered(NamedTuple):
    """A recorded question that nobody answers any more.

    - `key` is its session, and `turn` is the question.
    - `since` is the time when a process took it in hand, aware, in UTC.
    - `tries` counts how often it was handled again.
    """

    key: SessionKey
    turn: Turn
    since: datetime
    tries: int


async def dead_claims(desk: Desk, prefix: str = "") -> list[Claim]:
    """Return the claims on an answer whose process is gone."""
    async with desk.use() as storage:
        # A storage that one process owns has no other living one.
        expired = True if desk.is_shared or desk.opening.read_only else None
        claims = await storage.claims(prefix=prefix, expired=expired)
    return [one for one in claims if one.name.startswith(ANSWER) and not desk.leases.holds(one)]


async def message_of(desk: Desk, claim: Claim) -> Turn | None:
    """Return the message of a claim; None if it is gone, or has an answer."""
    payload = claim.payload
    info = await desk.info(claim.key)
    if info is None or "generation" not in payload:
        return None
    place = info.place(TurnRef(payload["generation"], payload["id"]))
    if place is None:
        return None
    turns = (await desk.read(claim.key, after=place - 1, before=place + 1)).turns
    if not turns or await Conversation(desk, claim.key).has_answer(turns[0]):
        return None
    return turns[0]


async def unanswered(
    desk: Desk, *, prefix: str = "", max_age: timedelta | None = None
) -> list[Unanswered]:
    """Return the questions that are owed an answer, the oldest first."""
    found: list[Unanswered] = []
    now = datetime.now(timezone.utc)
    for claim in await dead_claims(desk, prefix):
        turn = await message_of(desk, claim)
        if turn is None:
            continue
        at = claim.payload.get("at")
        since = turn.time if at is None else datetime.fromisoformat(at)
        if max_age is None or now - since <= max_age:
            found.append(Unanswered(claim.key, turn, since, claim.payload.get("tries", 0)))
    return sorted(found, key=lambda one: (one.since, one.turn.id))


async def take_over(desk: Desk, claim: Claim, payload: Mapping[str, Any]) -> Lease | None:
    """Take over the claim of a process that is gone; None if another one did so first."""
    if not desk.is_shared:
        async with desk.use(claim.key, write=True) as storage:
            await storage.renew(claim, ttl=0)  # its owner is dead, and may have left it for a while
    ref = TurnRef(payload["generation"], payload["id"])
    return await desk.leases.take(claim.key, claim.name, mark=ref, payload=payload)
