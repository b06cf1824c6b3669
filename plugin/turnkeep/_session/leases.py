"""Leases that other processes see: on answering a message, and on a consolidation.

Only a storage that several processes share has them. A lease lasts a minute, and is renewed
while its work goes on. When its process dies it expires, and another process can take it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any, Final

from anyio import CancelScope, Event, sleep
from msgspec import structs

from .._errors import TurnkeepError
from .._loop import asyncio_loop
from .._records.identity import TurnRef
from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.turn import Turn
from ..storage.base import Claim
from .opening import Opening

__all__ = ["CONSOLIDATE", "TTL", "Leases", "answer_name"]

logger: Final = logging.getLogger("turnkeep")

TTL: Final = 60.0
"""The seconds after which a lease expires unless it is renewed."""

CONSOLIDATE: Final = "consolidate"
ANSWER: Final = "answer:"


def answer_name(turn: Turn) -> str:
    """Return the name of the lease on answering a message, the same in every process."""
    if turn.source_id is not None:
        return f"{ANSWER}{turn.source_id}"
    return f"{ANSWER}{turn.generation}/{turn.id}"


class Leases:
    """The leases of one store, which may take the same lease several times."""

    def __init__(self, opening: Opening) -> None:
        self.owner: Final = secrets.token_hex(8)
        self._opening = opening
        self._counter = count(1)
        self._held: dict[tuple[str, str], tuple[Claim, int]] = {}
        self._keeper: object = None
        self._scope: CancelScope | None = None
        self._ended: Event | None = None

    def tokens(self, turns: Sequence[Turn]) -> list[Turn]:
        """Return the turns, each with a token for a retry of its append."""
        return [
            turn
            if turn.token
            else structs.replace(turn, token=f"{self.owner}.{next(self._counter):x}")
            for turn in turns
        ]

    async def take(
        self, key: SessionKey, name: str, payload: Mapping[str, Any] | None = None
    ) -> bool:
        """Take a lease, or take it once more; return False if another store has it."""
        held = self._held.get((key.text, name))
        if held is not None:
            self._held[key.text, name] = held[0], held[1] + 1
            return True
        async with self._opening.use(key, write=True) as storage:
            claim = await storage.claim(key, name, owner=self.owner, ttl=TTL, payload=payload)
        if claim is None:
            return False
        _, times = self._held.get((key.text, name), (claim, 0))
        self._held[key.text, name] = claim, times + 1
        self._keep()
        return True

    async def drop(self, key: SessionKey, name: str) -> None:
        """Drop a lease once. It ends when it was dropped as often as it was taken."""
        claim, times = self._held.pop((key.text, name), (None, 0))
        if claim is None:  # the store was closed meanwhile
            return
        if times > 1:
            self._held[key.text, name] = claim, times - 1
            return
        if not self._held and self._scope is not None:
            self._scope.cancel()
        try:
            async with self._opening.use(key, write=True) as storage:
                await storage.release(claim)
        except TurnkeepError as error:
            logger.warning("session %s: %r is leased until it expires: %s", key, name, error)

    async def is_taken(self, key: SessionKey, name: str) -> bool:
        """Return True if another store has this lease."""
        async with self._opening.use(key) as storage:
            claims = await storage.claims(key=key, expired=False)
        return any(claim.name == name and claim.owner != self.owner for claim in claims)

    async def first_open(self, info: SessionInfo) -> int:
        """Return the lowest id to which another store has an open reply, or `sys.maxsize`."""
        async with self._opening.use(info.key) as storage:
            claims = await storage.claims(key=info.key, expired=False)
        places = (
            info.place(TurnRef(claim.payload["generation"], claim.payload["id"]))
            for claim in claims
            if claim.name.startswith(ANSWER) and claim.owner != self.owner
        )
        return min((place for place in places if place is not None), default=sys.maxsize)

    def _keep(self) -> None:
        """Start the task that renews the leases, unless it runs."""
        if self._keeper is not None:
            return
        self._scope, self._ended = CancelScope(), Event()
        renew = partial(self._renew, self._scope, self._ended)
        if asyncio_loop() is not None:
            self._keeper = asyncio.ensure_future(renew())
        else:
            from trio.lowlevel import spawn_system_task  # noqa: PLC0415 (only where trio runs)

            self._keeper = spawn_system_task(renew)

    async def _renew(self, scope: CancelScope, ended: Event) -> None:
        try:
            with scope:
                while self._held:
                    await sleep(TTL / 3)
                    for place, (claim, _) in list(self._held.items()):
                        await self._renew_one(place, claim)
        finally:
            self._keeper = self._scope = None
            ended.set()
            if self._held and scope.cancel_called:
                self._keep()  # one was taken while this was ending

    async def _renew_one(self, place: tuple[str, str], claim: Claim) -> None:
        try:
            async with self._opening.use(claim.key, write=True) as storage:
                if not await storage.renew(claim, ttl=TTL):
                    logger.warning("session %s: the lease %r was lost", *place)
        except TurnkeepError as error:
            logger.warning("session %s: the lease %r is not renewed: %s", *place, error)

    async def aclose(self) -> None:
        """Stop the renewals; the leases then expire."""
        self._held.clear()
        if self._scope is not None and self._ended is not None:
            self._scope.cancel()
            await self._ended.wait()
