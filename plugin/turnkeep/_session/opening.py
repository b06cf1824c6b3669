"""The life of a store's storage: opened once, used by verbs, and closed after the last verb.

    new ──open──▶ open ──aclose──▶ closed ──open──▶ open

The first verb opens a new storage by itself. A closed one must be opened explicitly. Everything
runs on the event loop that opened it; other loops get a `WrongLoopError`.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from threading import get_ident
from types import TracebackType
from typing import Final, Literal

from anyio import Event, Lock

from .._errors import ReadOnlyError, StoreClosedError, WrongLoopError
from .._loop import asyncio_loop, running_loop, uninterrupted
from .._records.key import SessionKey
from ..storage.base import Storage

__all__ = ["Opening", "Use"]

_REMEDY: Final = (
    "open one SessionStore in each event loop and process "
    "('sqlite:', 'redis:' and 'postgresql:' serve several of them)"
)

_openings: weakref.WeakSet[Opening] = weakref.WeakSet()


class Opening:
    """The storage of one store, while it is open.

    It counts how often it was opened. `closing`, if set, is awaited before the storage closes.
    """

    def __init__(self, storage: Storage, *, read_only: bool) -> None:
        self.storage = storage
        self.closing: Callable[[], Awaitable[None]] | None = None
        self.state: Literal["new", "open", "closed"] = "new"
        self.read_only = read_only
        self._holds_storage = False
        self._openings = 0
        self._changing = Lock()
        self._queued = 0
        self._running = 0
        self._idle: Event | None = None
        self._thread = 0
        self._process = 0
        self._loop: object = None
        _openings.add(self)

    async def open(self) -> None:
        """Open the storage, or count one more opening."""
        async with self._change(None):
            if self.state != "open":
                await self._open_storage()
            self._openings += 1

    @asynccontextmanager
    async def _change(self, key: SessionKey | None) -> AsyncGenerator[None, None]:
        """Let one at a time open or close the storage, all of them on one loop."""
        self.check_loop(key)
        if not self._thread:
            # Before the first await, so that no other thread gets in between.
            self._process, self._loop, self._thread = os.getpid(), running_loop(), get_ident()
            self._changing = Lock()  # a lock serves the loops of one library
        self._queued += 1
        try:
            async with self._changing:
                yield
        finally:
            self._queued -= 1
            if not (self._queued or self._holds_storage):
                self._thread = 0

    async def _open_storage(self) -> None:
        if self._holds_storage:  # its closing failed, and may have left a part of it open
            await self.storage.aclose()
        self._holds_storage = False
        await self.storage.open()
        self._holds_storage = True
        self.state = "open"

    async def aclose(self) -> None:
        """Undo one `open`. The last one closes the storage, after all running verbs.

        A cancellation is raised after that: most bots are stopped by one, and the storage must
        be closed all the same.
        """
        self.check_loop(None)
        await uninterrupted(self._leave_and_close)

    async def _leave_and_close(self) -> None:
        async with self._change(None):
            self._openings = max(0, self._openings - 1)
            if self._openings or not self._holds_storage:
                return
            self.state = "closed"
            if self.closing is not None:
                await self.closing()
            while self._running:
                self._idle = Event()
                await self._idle.wait()
            await self.storage.aclose()
            self._holds_storage = False

    def enter(self, key: SessionKey | None, *, write: bool) -> Storage | None:
        """Begin a verb and return the open storage; None if the verb has to wait for it.

        `leave` ends the verb. Closing waits for that.
        """
        # Verbs that wait for the opening go first, so that calls keep their order.
        if self.state != "open" or self._queued:
            return None
        loop = asyncio_loop()
        if loop is None or loop is not self._loop or get_ident() != self._thread:
            self.check_loop(key)
        if write and self.read_only:
            raise _read_only(key)
        self._running += 1
        return self.storage

    async def enter_first(self, key: SessionKey | None, *, write: bool) -> Storage:
        """Begin a verb that has to wait, and open a new storage."""
        async with self._change(key):
            if self.state == "closed":
                about = "" if key is None else f"session {key}: "
                raise StoreClosedError(
                    f"{about}the store is closed, and nothing was stored; "
                    "open it again with 'async with store:'"
                )
            if self.state == "new":
                await self._open_storage()
        # This verb has had its turn: those that still wait come after it.
        if write and self.read_only:
            raise _read_only(key)
        self._running += 1
        return self.storage

    def use(self, key: SessionKey | None = None, *, write: bool = False) -> Use:
        """Return the storage for the time of one verb: `async with opening.use(key) as storage`."""
        return Use(self, key, write)

    def leave(self) -> None:
        """End a verb."""
        self._running -= 1
        if self._idle is not None and not self._running:
            self._idle.set()

    def forked(self) -> None:
        """Remember, in a forked child, that the storage belongs to the parent."""
        if self._thread:
            self._thread = -1

    def check_loop(self, key: SessionKey | None) -> None:
        """Raise `WrongLoopError` if the storage is open on another loop, thread or process."""
        if not self._thread or (self._thread == get_ident() and self._loop == running_loop()):
            return
        about = "" if key is None else f"session {key}: "
        if self._process != os.getpid():
            there = "process; a forked child can't use its parent's store"
        elif self._thread != get_ident():
            there = "thread"
        else:
            there = "event loop, and was not closed there"
        raise WrongLoopError(f"{about}this store was opened in another {there}: {_REMEDY}")


class Use:
    """The time that one verb has the storage, see `Opening.use`."""

    __slots__ = ("_key", "_opening", "_write")

    def __init__(self, opening: Opening, key: SessionKey | None, write: bool) -> None:
        self._opening = opening
        self._key = key
        self._write = write

    async def __aenter__(self) -> Storage:
        key, write = self._key, self._write
        storage = self._opening.enter(key, write=write)
        return storage or await self._opening.enter_first(key, write=write)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._opening.leave()


def _read_only(key: SessionKey | None) -> ReadOnlyError:
    about = "" if key is None else f"session {key}: "
    return ReadOnlyError(
        f"{about}this store was opened with read_only=True; open another one without it to write"
    )


def _part_with_parent() -> None:
    for opening in _openings:
        opening.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_part_with_parent)
