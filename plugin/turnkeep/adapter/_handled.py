"""Commands and pressed buttons that were handled, also by an earlier process.

No stored turn shows it: a command such as `/reset` leaves none. So a mark is kept for a day, which
is how long Telegram keeps an update (https://core.telegram.org/bots/api#getting-updates).
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Final

from anyio import CancelScope, Lock

from .._errors import TurnkeepError
from .._records.key import SessionKey
from .._store import SessionStore
from ..storage.base import Claim

__all__ = ["Handled"]

logger: Final = logging.getLogger("turnkeep")

_DAY: Final = 86_400.0
_MARKS_KEPT: Final = 1_000
_OWNER: Final = "handled"
_NOW: Final = "now:"


class Handled:
    """The latest 1,000 handled events of one bot, in marks that name nobody.

    `kind` and `seconds` are for other marks than these: their name, and how long they are kept.
    A storage error is logged: an event may then be handled twice.
    """

    def __init__(
        self,
        store: SessionStore,
        channel: str,
        bot: str | int,
        *,
        kind: str = "bot",
        seconds: float = _DAY,
    ) -> None:
        self._store = store
        self._key = SessionKey(channel, kind, account=bot)
        self._seconds = seconds
        self._marks: OrderedDict[str, Claim] | None = None
        self._lock = Lock()

    async def has(self, name: str) -> bool:
        """Return True if an event was handled."""
        try:
            return name in await self._known()
        except TurnkeepError as error:
            logger.warning("event %s may be handled twice: %s", name, error)
            return False

    @asynccontextmanager
    async def in_hand(self, name: str) -> AsyncGenerator[bool, None]:
        """Have an event in hand inside the block; False if it was handled.

        If another process has it in hand, wait for the end of that: the process may die.
        """
        desk, lease = self._store.desk, None
        is_new = not await self.has(name)
        if is_new and desk.is_shared:
            try:
                lease = await desk.leases.wait_for(self._key, f"{_NOW}{name}")
            except TurnkeepError as error:
                logger.warning("event %s may be handled twice: %s", name, error)
            is_new = not await self.has(name)
        try:
            yield is_new
        finally:
            if lease is not None:
                with CancelScope(shield=True):
                    await desk.leases.drop(lease)

    async def names(self) -> list[str]:
        """Return the names of all events that were handled; raises what the storage raises."""
        return [*await self._known()]

    async def _known(self) -> OrderedDict[str, Claim]:
        if self._marks is None or self._store.desk.is_shared:
            async with self._lock, self._store.desk.use(self._key) as storage:
                found = await storage.claims(key=self._key)
                self._marks = OrderedDict((one.name, one) for one in found if one.owner == _OWNER)
        return self._marks

    async def note(self, name: str) -> None:
        """Store that an event was handled."""
        try:
            # The marks that `has` has read are new enough to drop the oldest by.
            known = await self._known() if self._marks is None else self._marks
            now = datetime.now(timezone.utc)
            async with self._lock, self._store.desk.use(self._key, write=True) as storage:
                mark = await storage.claim(self._key, name, owner=_OWNER, ttl=self._seconds)
                if mark is not None:
                    known[name] = mark
                while known and (len(known) > _MARKS_KEPT or _first(known).expires_at <= now):
                    await storage.release(known.popitem(last=False)[1])
        except TurnkeepError as error:
            logger.warning("event %s may be handled twice: %s", name, error)


def _first(marks: OrderedDict[str, Claim]) -> Claim:
    return next(iter(marks.values()))
