"""The ready-made buttons under an answer: one stops it, one asks the model again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, TypeAlias
from weakref import WeakKeyDictionary, proxy

from anyio import move_on_after, sleep

from .._errors import TurnkeepError
from .._records.key import SessionKey
from .._records.turn import Turn
from .._session.desk import Desk

__all__ = [
    "AGAIN",
    "AGAIN_LABEL",
    "STOP",
    "STOP_LABEL",
    "Regenerate",
    "UnderWay",
    "authors_of",
    "under_way",
]

STOP: Final = "turnkeep:stop"
AGAIN: Final = "turnkeep:again"
"""The data of the buttons. They stay the same in later versions: old messages have them."""

STOP_LABEL: Final = "⏹"
AGAIN_LABEL: Final = "🔄"

_PRESSES: Final = SessionKey("adapter", "presses")
"""The place of the claims that tell other processes which answers are to be stopped."""

_LOOK_SECONDS: Final = 0.5
_WAIT_SECONDS: Final = 5.0
"""The most seconds for which another process is asked to stop an answer."""

logger: Final = logging.getLogger("turnkeep")

Regenerate: TypeAlias = Callable[[Any], Awaitable[object]]
"""A function that gets a `ChatSession` bound to a message, and answers it once more."""


class Stoppable(Protocol):
    """An answer that is being given."""

    @property
    def names(self) -> Iterable[str]:
        """The source ids of its messages, and the name of its draft."""
        ...

    def stop(self) -> None: ...


class UnderWay:
    """The answers that one store's bots are giving now, and the people who asked.

    Where several processes share the storage, a press may reach another one than the one that
    answers. It leaves a claim then, for which the others look while they answer.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk: Desk = proxy(desk)  # a desk that nobody else has goes, and its answers with it
        self._answers: dict[Stoppable, frozenset[str]] = {}
        self._again: set[str] = set()
        self._looking: asyncio.Task[None] | None = None

    def begin(self, answer: Stoppable, asked: Iterable[Turn], *, can_stop: bool = True) -> None:
        """Let the people who wrote these messages stop an answer; without any, everybody may."""
        self._answers[answer] = authors_of(asked)
        if can_stop and self._desk.is_shared and self._looking is None:
            self._looking = asyncio.create_task(self._look_for_presses())

    def end(self, answer: Stoppable) -> None:
        """Forget an answer that has ended."""
        self._answers.pop(answer, None)
        if self._looking is not None and not self._answers:
            self._looking.cancel()
            self._looking = None

    async def press(self, name: str, by: str) -> bool:
        """Stop the answer in a message, in whichever process; return False if none is stopped.

        It is not if this person may not, or if it has ended.
        """
        if self._find(name) is not None or not self._desk.is_shared:
            return self.stop(name, by)
        press = f"{STOP}:{by}:{name}"
        async with self._desk.use(_PRESSES, write=True) as storage:
            claim = await storage.claim(
                _PRESSES, press, owner=by, ttl=_WAIT_SECONDS, payload={"name": name, "by": by}
            )
        with move_on_after(_WAIT_SECONDS):
            while True:
                await sleep(_LOOK_SECONDS)
                async with self._desk.use(_PRESSES) as storage:
                    there = await storage.claims(key=_PRESSES)
                if all(one.name != press for one in there):
                    return True
        async with self._desk.use(_PRESSES, write=True) as storage:
            return claim is None or not await storage.release(claim)

    async def _look_for_presses(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                async with self._desk.use(_PRESSES, write=True) as storage:
                    for claim in await storage.claims(key=_PRESSES, expired=False):
                        name, by = claim.payload.get("name", ""), claim.payload.get("by", "")
                        # Released first: with its last answer, this task is cancelled.
                        if self._stoppable(name, by) is not None and await storage.release(claim):
                            self.stop(name, by)
            except TurnkeepError as error:
                logger.warning("a press of %s may be overlooked: %s", STOP_LABEL, error)

    def stop(self, name: str, by: str) -> bool:
        """Stop an answer of this process; return False if this person may not, or there is none."""
        answer = self._stoppable(name, by)
        if answer is not None:
            answer.stop()
        return answer is not None

    def _stoppable(self, name: str, by: str) -> Stoppable | None:
        answer = self._find(name)
        people = None if answer is None else self._answers[answer]
        return None if people and by not in people else answer

    def _find(self, name: str) -> Stoppable | None:
        return next((one for one in self._answers if name in one.names), None)

    @asynccontextmanager
    async def again(self, name: str) -> AsyncGenerator[bool, None]:
        """Tell in the block whether the answer in this message may be given once more now.

        It may not while it is being given once more already, in any process.
        """
        if name in self._again:
            yield False
            return
        self._again.add(name)
        try:
            async with self._leased(f"{AGAIN}:{name}") as is_first:
                yield is_first
        finally:
            self._again.discard(name)

    @asynccontextmanager
    async def _leased(self, name: str) -> AsyncGenerator[bool, None]:
        lease = await self._desk.leases.take(_PRESSES, name) if self._desk.is_shared else None
        try:
            yield lease is not None or not self._desk.is_shared
        finally:
            if lease is not None:
                await self._desk.leases.drop(lease)


_under_way: Final[WeakKeyDictionary[Desk, UnderWay]] = WeakKeyDictionary()


def under_way(desk: Desk) -> UnderWay:
    """Return the answers of a store, by its desk."""
    return _under_way.get(desk) or _under_way.setdefault(desk, UnderWay(desk))


def authors_of(turns: Iterable[Turn]) -> frozenset[str]:
    """Return the ids of the people who wrote these messages."""
    return frozenset(turn.sender.id for turn in turns if turn.sender is not None)
