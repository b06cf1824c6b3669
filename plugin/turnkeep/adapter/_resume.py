"""The handling of messages again whose answer a crash cut off."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta, timezone
from inspect import isawaitable
from typing import Any, Final, TypeAlias

from .._errors import TurnkeepError
from .._records.identity import TurnRef
from .._session.leases import TTL
from .._session.owed import Unanswered, dead_claims, message_of, take_over
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
            for claim in sorted(ours, key=_order):
                await self._resume(claim)
        except TurnkeepError as error:
            logger.warning("questions that are owed an answer can't be read: %s", error)
        finally:
            debts_of(self._store.desk).has_resumed(self._by)

    async def _resume(self, claim: Claim) -> None:
        desk, tries = self._store.desk, claim.payload.get("tries", 0)
        since = datetime.fromisoformat(claim.payload["at"])
        turn = await message_of(desk, claim)
        is_late = datetime.now(timezone.utc) - since > self._max_age or tries >= MOST_TRIES
        payload = claim.payload
        lease = await take_over(desk, claim, payload)
        if lease is None:
            return
        if turn is None or is_late:
            await desk.leases.drop(lease)
            if turn is not None:
                await self._tell(Unanswered(claim.key, turn, since, tries))
            return
        name = TurnRef(payload["generation"], payload["id"])
        debts_of(self._store.desk).adopt(name, lease, payload).is_again = True
        logger.info("session %s: turn %d is answered after a restart", claim.key, turn.id)
        try:
            await self._handle(payload["update"])
        except Exception:
            logger.exception("session %s: turn %d can't be handled again", claim.key, turn.id)
            await debts_of(self._store.desk).settle(turn)

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
        except Exception:
            logger.exception("the function for questions that are too old has failed")


def _order(claim: Claim) -> tuple[str, int]:
    # Each session in its own order: the leases of two messages may have begun in another one.
    return claim.payload["generation"], claim.payload["id"]
