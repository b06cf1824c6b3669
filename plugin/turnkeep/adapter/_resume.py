"""The handling of messages again whose answer a crash cut off."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta, timezone
from inspect import isawaitable
from typing import Any, Final, TypeAlias

from .._errors import TurnkeepError
from .._records.identity import TurnRef
from .._records.turn import Turn
from .._session.desk import Desk
from .._session.leases import ANSWER, TTL
from .._session.owed import Unanswered, claimed_turn, dead_claims, message_of, take_over
from .._store import SessionStore
from ..storage.base import Claim
from ._owed import debts_of

__all__ = ["RESUME", "Resumer", "TooOld"]

logger: Final = logging.getLogger("turnkeep")

RESUME: Final = timedelta(minutes=15)
"""The age up to which a question is handled again, by default."""

MOST_TRIES: Final = 2
"""The most times that a question is handled again: it may be what kills the bot."""

TooOld: TypeAlias = Callable[[Unanswered], object]
"""A function, async or not, of a question that is too old, or was handled again too often."""


class Resumer:
    """Handles owed questions again, by a bot's own handlers.

    `by` names the bot, as its recorder named it when the questions came. `handle` gets what was
    kept of each, in their order, and returns when the bot's handlers have begun, or are about to
    in that order. Where several processes share the storage, one of them takes each question.
    """

    def __init__(
        self,
        store: SessionStore,
        by: str,
        handle: Callable[[Mapping[str, Any]], Awaitable[None]],
        *,
        max_age: timedelta = RESUME,
        too_old: TooOld | None = None,
    ) -> None:
        self._store = store
        self._by = by
        self._handle = handle
        self._max_age = max_age
        self._too_old = too_old
        self._watch: asyncio.Task[None] | None = None
        debts_of(store.desk).begin_life(by)

    def watch(self) -> None:
        """Look for questions of other processes that die, where several share the storage."""
        if self._store.desk.is_shared and self._watch is None:
            self._watch = asyncio.create_task(self._look_again())

    def stop(self) -> None:
        """Stop to look for them."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(TTL / 3)
            await self.run()

    async def run(self) -> None:
        """Handle all questions again that are owed now; a storage error is logged."""
        try:
            claims = await dead_claims(self._store.desk)
            ours = [one for one in claims if one.payload.get("by") == self._by]
            asked = [(claim, await message_of(self._store.desk, claim)) for claim in ours]
            for claim, turn in sorted(asked, key=_order):
                await self._resume(claim, turn)
        except TurnkeepError as error:
            logger.warning("questions that are owed an answer can't be read: %s", error)
        finally:
            debts_of(self._store.desk).has_resumed(self._by)

    async def _resume(self, claim: Claim, turn: Turn | None) -> None:
        desk, debts = self._store.desk, debts_of(self._store.desk)
        payload, tries = claim.payload, claim.payload.get("tries", 0)
        since = datetime.fromisoformat(payload["at"])
        is_late = datetime.now(timezone.utc) - since > self._max_age or tries >= MOST_TRIES
        is_recorded = "generation" in payload or await claimed_turn(desk, claim) is not None
        name = None if turn is None else _name(desk, turn, payload)
        lease = await take_over(desk, claim, payload, name or claim.name)
        if lease is None:
            return
        if is_late or (turn is None and is_recorded):
            await desk.leases.drop(lease)
            if turn is not None:
                await self._tell(Unanswered(claim.key, turn, since, tries))
            elif not is_recorded:
                logger.warning(
                    "session %s: %s stays unrecorded, of %s", claim.key, claim.name, since
                )
            return
        if name is None:  # the crash came before it was recorded
            debts.adopt_announced(lease, is_again=True)
        else:
            debts.adopt(name, lease, {**payload, **name._asdict()}).is_again = True
        logger.info("session %s: %s is answered after a restart", claim.key, claim.name)
        try:
            await self._handle(payload["update"])
        except Exception:  # the bot's handlers may raise anything, and others wait
            logger.exception("session %s: %s can't be handled again", claim.key, claim.name)
            await debts.withdraw(claim.name.removeprefix(ANSWER))
            await debts.settle(turn)

    async def _tell(self, late: Unanswered) -> None:
        if self._too_old is None:
            logger.warning(
                "session %s: turn %d, of %s, stays without an answer (tried again %d times)",
                late.key,
                late.turn.id,
                late.since.isoformat(timespec="seconds"),
                late.tries,
            )
            return
        try:
            told = self._too_old(late)
            if isawaitable(told):
                await told
        except Exception:  # the user's function may raise anything
            logger.exception("the function for questions that are too old has failed")


def _name(desk: Desk, turn: Turn, payload: Mapping[str, Any]) -> TurnRef:
    if "generation" in payload:
        return TurnRef(payload["generation"], payload["id"])
    return desk.answers.name(turn)


def _order(asked: tuple[Claim, Turn | None]) -> tuple[str, float, str]:
    # Each session in its own order: the leases of two messages may have begun in another one.
    # What is not recorded yet came last.
    claim, turn = asked
    return claim.key.text, math.inf if turn is None else turn.id, claim.payload["at"]
