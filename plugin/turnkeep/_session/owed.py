"""Questions whose answer is owed: the process that was to answer them is gone."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from .._records.identity import TurnRef
from .._records.key import SessionKey
from .._records.turn import Turn
from ..storage.base import Claim
from .conversation import Conversation
from .desk import Desk
from .leases import ANSWER, Lease
from .reading import turn_at

__all__ = ["Unanswered", "claimed_turn", "dead_claims", "message_of", "take_over", "unanswered"]


class Unanswered(NamedTuple):
    """A stored question that no process is answering.

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
    turn = await claimed_turn(desk, claim)
    if turn is None or await Conversation(desk, claim.key).has_answer(turn):
        return None
    return turn


async def claimed_turn(desk: Desk, claim: Claim) -> Turn | None:
    """Return the message of a claim, answered or not; None if it is gone, or not recorded yet."""
    payload = claim.payload
    if "generation" not in payload:  # it was claimed before it was recorded
        async with desk.use(claim.key) as storage:
            return await storage.find(claim.key, claim.name.removeprefix(ANSWER))
    info = await desk.info(claim.key)
    if info is None:
        return None
    place = info.place(TurnRef(payload["generation"], payload["id"]))
    if place is None:
        return None
    return await turn_at(desk, claim.key, place)


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


async def take_over(
    desk: Desk, claim: Claim, payload: Mapping[str, Any], mark: Hashable
) -> Lease | None:
    """Take over the claim of a process that is gone; None if another one did so first.

    `mark` names the work here, see `Leases.take`.
    """
    if not desk.is_shared:
        async with desk.use(claim.key, write=True) as storage:
            await storage.renew(claim, ttl=0)  # its owner is dead, and may have left it for a while
    return await desk.leases.take(claim.key, claim.name, mark=mark, payload=payload)
