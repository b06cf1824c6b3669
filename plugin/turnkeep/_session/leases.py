"""Leases that other processes see: on an answer, on a consolidation, on a session's handlers.

A lease lasts a minute, and is renewed while its work goes on. When its process dies it expires,
and another process can take it, or the next one if the storage serves only one at a time.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from itertools import count
from typing import Any, Final

from anyio import CancelScope, Event, get_cancelled_exc_class, sleep
from msgspec import structs

from .._errors import LostAcknowledgementError, TurnkeepError
from .._loop import asyncio_loop
from .._records.identity import TurnRef
from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.turn import Turn
from ..storage.base import Claim
from .opening import Opening

__all__ = ["ANSWER", "CONSOLIDATE", "HANDLE", "TTL", "Lease", "Leases", "answer_name"]

logger: Final = logging.getLogger("turnkeep")

TTL: Final = 60.0
"""The seconds after which a lease expires unless it is renewed."""

CONSOLIDATE: Final = "consolidate"
HANDLE: Final = "handle"
ANSWER: Final = "answer:"

_TICKET: Final = "?"
_LAST_PLACE: Final = 10**19
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.25


def answer_name(turn: Turn, ref: TurnRef) -> str:
    """Return the name of the lease on answering a message, the same in every process.

    `ref` is the first name of the turn.
    """
    if turn.source_id is not None:
        return f"{ANSWER}{turn.source_id}"
    return f"{ANSWER}{ref.generation}/{ref.id}"


class Lease:
    """A lease that a store holds until it was dropped as often as it was taken."""

    __slots__ = ("claim", "mark", "times")

    def __init__(self, claim: Claim, mark: Hashable) -> None:
        self.claim: Claim = claim
        self.mark: Hashable = mark
        self.times: int = 0


class Leases:
    """The leases of one store, which may take the same lease several times."""

    def __init__(self, opening: Opening) -> None:
        self.owner: Final = secrets.token_hex(8)
        self._opening = opening
        self._counter = count(1)
        self._held: dict[Hashable, Lease] = {}
        self._taken: Counter[Hashable] = Counter()
        """The leases that are being taken now, and how often."""
        self._keeper: object = None
        self._scope: CancelScope | None = None
        self._ended: Event | None = None

    def tokens(self, turns: Sequence[Turn], first: str | None = None) -> list[Turn]:
        """Return the turns, each with a token for a retry of its append, made from `first`."""
        first = first or f"{self.owner}.{next(self._counter):x}"
        return [
            turn
            if turn.token
            else structs.replace(turn, token=f"{first}-{place}" if place else first)
            for place, turn in enumerate(turns)
        ]

    async def take(
        self,
        key: SessionKey,
        name: str,
        *,
        mark: Hashable = None,
        payload: Mapping[str, Any] | None = None,
    ) -> Lease | None:
        """Take a lease, or take it once more; return None if another store has it.

        `mark` names the work in this process, for the case that the session's key changes.
        """
        mark = (name, key.text if mark is None else mark)
        lease = self._held.get(mark)
        if lease is None:
            self._taken[mark] += 1
            try:
                claim = await self._claim(key, name, payload)
            except get_cancelled_exc_class():
                # It may have been given all the same, and would be held until it expires.
                if self._taken[mark] == 1 and mark not in self._held:
                    with CancelScope(shield=True):
                        await self._release(self._own(key, name))
                raise
            finally:
                self._taken[mark] -= 1
                if not self._taken[mark]:
                    del self._taken[mark]
            if claim is None:
                return None
            lease = self._held.setdefault(mark, Lease(claim, mark))
            self._keep()
        lease.times += 1
        return lease

    async def _claim(
        self, key: SessionKey, name: str, payload: Mapping[str, Any] | None
    ) -> Claim | None:
        async with self._opening.use(key, write=True) as storage:
            take = partial(storage.claim, key, name, owner=self.owner, ttl=TTL, payload=payload)
            try:
                return await take()
            except LostAcknowledgementError:
                return await take()  # its owner gets it again

    def call(self, lease: Lease, mark: Hashable) -> None:
        """Let a lease that is held have another mark: its work is known by a better name now."""
        if self._held.get(lease.mark) is lease:
            del self._held[lease.mark]
            lease.mark = (lease.claim.name, mark)
            self._held[lease.mark] = lease

    async def wait_for(self, key: SessionKey, name: str, *, place: int | None = None) -> Lease:
        """Take a lease when no other store has it, and none waits at a lower place.

        Who waits has a ticket, a lease of its own. One without a place is behind all others.
        """
        pause, ticket = _FIRST_PAUSE, None
        mine = f"{name}{_TICKET}{_LAST_PLACE if place is None else place:020d}.{self.owner}"
        try:
            while True:
                if await self._is_first(key, name, mine):
                    lease = await self.take(key, name)
                    if lease is not None:
                        return lease
                if ticket is None:
                    ticket = await self.take(key, mine)
                await sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            if ticket is not None:
                with CancelScope(shield=True):
                    await self.drop(ticket)

    async def _is_first(self, key: SessionKey, name: str, mine: str) -> bool:
        """Return True if no other store has a lease, or a ticket for it before this one."""
        async with self._opening.use(key) as storage:
            claims = await storage.claims(key=key, expired=False)
        others = [claim.name for claim in claims if claim.owner != self.owner]
        tickets = [one for one in others if one.startswith(f"{name}{_TICKET}")]
        return name not in others and all(ticket > mine for ticket in tickets)

    async def drop(self, lease: Lease) -> None:
        """Drop a lease once. It ends when it was dropped as often as it was taken."""
        lease.times -= 1
        if lease.times or self._held.get(lease.mark) is not lease:
            return  # still in use, or lost, or the store was closed meanwhile
        del self._held[lease.mark]
        await self._release(lease.claim)

    def _own(self, key: SessionKey, name: str) -> Claim:
        now = datetime.now(timezone.utc)
        return Claim(key=key, name=name, owner=self.owner, expires_at=now)

    async def _release(self, claim: Claim) -> None:
        try:
            async with self._opening.use(claim.key, write=True) as storage:
                await storage.release(claim)
        except TurnkeepError as error:
            logger.warning(
                "session %s: %r is leased until it expires: %s", claim.key, claim.name, error
            )

    async def note(self, lease: Lease, payload: Mapping[str, Any]) -> None:
        """Store a new payload with a lease that is held, for a process that takes it over.

        A lease that went with its session, which was forgotten, stays away: the payload repeats
        what was said.
        """
        if self._held.get(lease.mark) is not lease:
            return
        claim = lease.claim
        async with self._opening.use(claim.key, write=True) as storage:
            renew = partial(storage.renew, claim, ttl=TTL, payload=payload)
            try:
                is_ours = await renew()
            except LostAcknowledgementError:
                is_ours = await renew()
        if is_ours:
            lease.claim = structs.replace(claim, payload=dict(payload))
        else:
            self._lose(lease)

    def holds(self, claim: Claim) -> bool:
        """Return True if this store has the lease with that name."""
        place = claim.key, claim.name
        return any((one.claim.key, one.claim.name) == place for one in self._held.values())

    async def is_taken(self, key: SessionKey, name: str) -> bool:
        """Return True if another store has this lease."""
        async with self._opening.use(key) as storage:
            claims = await storage.claims(key=key, expired=False)
        return any(claim.name == name and claim.owner != self.owner for claim in claims)

    async def first_open(self, info: SessionInfo) -> int:
        """Return the lowest id to which another store has an open reply, or `sys.maxsize`."""
        async with self._opening.use(info.key) as storage:
            claims = await storage.claims(key=info.key, expired=False)
        answered = (
            TurnRef(claim.payload["generation"], claim.payload["id"])
            for claim in claims
            if claim.name.startswith(ANSWER) and claim.owner != self.owner
            if "generation" in claim.payload  # else its message is being recorded
        )
        return info.first_place(answered)

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
                while True:  # for a while without any: the next message takes one
                    await sleep(TTL / 3)
                    if not self._held:
                        break
                    for lease in list(self._held.values()):
                        await self._renew_one(lease)
        finally:
            self._keeper = self._scope = None
            ended.set()
            if self._held and scope.cancel_called:
                self._keep()  # one was taken while this was ending

    async def _renew_one(self, lease: Lease) -> None:
        claim = lease.claim
        try:
            async with self._opening.use(claim.key, write=True) as storage:
                is_ours = await storage.renew(claim, ttl=TTL)
        except TurnkeepError as error:
            logger.warning(
                "session %s: the lease %r is not renewed: %s", claim.key, claim.name, error
            )
            return
        if not is_ours:
            self._lose(lease)

    def _lose(self, lease: Lease) -> None:
        """Hold a lease no more that another store has taken over, or that is gone."""
        if self._held.get(lease.mark) is lease:
            logger.warning("session %s: the lease %r was lost", lease.claim.key, lease.claim.name)
            del self._held[lease.mark]

    async def aclose(self) -> None:
        """Stop the renewals, and let the leases expire at once: nobody works on them any more."""
        held = [lease.claim for lease in self._held.values()]
        self._held.clear()
        for claim in held:
            try:
                await self._opening.storage.renew(claim, ttl=0)
            except TurnkeepError as error:
                logger.warning(
                    "session %s: %r is leased until it expires: %s", claim.key, claim.name, error
                )
        await self.abandon()

    async def abandon(self) -> None:
        """Stop the renewals, as a process that dies; the leases then expire."""
        self._held.clear()
        if self._scope is not None and self._ended is not None:
            self._scope.cancel()
            await self._ended.wait()
