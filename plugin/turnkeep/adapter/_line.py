"""The line of one session's handlers: one is in front, the others wait."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final

import anyio
from anyio import CancelScope

from .._errors import StorageError, StoreLockedError
from .._records.key import SessionKey
from .._session.desk import Desk
from .._session.leases import HANDLE, Lease

__all__ = ["Line"]

logger: Final = logging.getLogger("turnkeep")


class _Presence:
    """The stay of a handler, and of the tasks that it starts, in the front of a line."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.is_over = False


_present: Final[ContextVar[tuple[_Presence, ...]]] = ContextVar("_present", default=())


class Line:
    """The line of one session: first come, first served."""

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: OrderedDict[anyio.Event, None] = OrderedDict()

    @property
    def is_taken(self) -> bool:
        """True if a handler is in front."""
        return self._is_taken

    @property
    def waiting(self) -> int:
        """The number of handlers that wait."""
        return len(self._waiting)

    @property
    def is_present(self) -> bool:
        """True if the handler that asks is in front already: it must not wait for itself."""
        return any(one.line is self and not one.is_over for one in _present.get())

    @asynccontextmanager
    async def front(
        self, desk: Desk, key: SessionKey, *, wait: bool, place: int | None = None
    ) -> AsyncGenerator[bool, None]:
        """Wait for the front, and stay there inside the block; False if another process is there.

        Without `wait`, nobody may be in front. Of several processes, the one whose message has
        the lowest id, its `place`, goes first. The block may end in another task.
        """
        await self._enter()
        presence = _Presence(self)
        try:
            async with _turn(desk, key, wait=wait, place=place) as is_mine:
                left = (one for one in _present.get() if not one.is_over)
                _present.set((*left, presence))
                yield is_mine
        finally:
            presence.is_over = True
            self._leave()

    async def _enter(self) -> None:
        # Nothing is awaited before the handler has its place.
        event = anyio.Event()
        if self._is_taken:
            self._waiting[event] = None
        else:
            self._is_taken = True
            event.set()
        try:
            await event.wait()  # a checkpoint in any case
        except BaseException:  # cancelled: those behind it go on
            if event in self._waiting:
                del self._waiting[event]
            else:
                self._leave()
            raise

    def _leave(self) -> None:
        if self._waiting:  # the front goes from one to the next, and is never free between them
            self._waiting.popitem(last=False)[0].set()
        else:
            self._is_taken = False


@asynccontextmanager
async def _turn(
    desk: Desk, key: SessionKey, *, wait: bool, place: int | None
) -> AsyncGenerator[bool, None]:
    """Take the turn of the session's handlers among all processes that share the storage.

    A failing storage delays no handler: then the order holds only within this process.
    """
    if not desk.is_shared:
        yield True
        return
    lease: Lease | None = None
    is_mine = True
    try:
        if wait:
            lease = await desk.leases.wait_for(key, HANDLE, place=place)
        else:
            lease = await desk.leases.take(key, HANDLE)
            is_mine = lease is not None
    except (StorageError, StoreLockedError) as error:
        logger.warning("session %s: other processes may handle it at the same time: %s", key, error)
    try:
        yield is_mine
    finally:
        if lease is not None:
            with CancelScope(shield=True):
                await desk.leases.drop(lease)
