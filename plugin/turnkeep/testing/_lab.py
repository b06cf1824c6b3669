"""One test's storage, its place, and what the suite can do to them."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

import anyio
import pytest

from .._errors import StorageError
from .._records.key import SessionKey
from ..storage.base import Capabilities, Storage
from ._hooks import Hooks

__all__ = ["Lab", "clause"]

T = TypeVar("T")


class Lab:
    """Has an open storage, and closes whatever is open at the end."""

    def __init__(self, hooks: Hooks, place: Path) -> None:
        place.mkdir()
        self.hooks = hooks
        self.place = place
        self.storage = hooks.make_storage(place)
        self._open: list[Storage] = []
        self._dead: list[Storage] = []

    @property
    def capabilities(self) -> Capabilities:
        """The storage's promises."""
        return self.storage.capabilities

    async def __aenter__(self) -> Self:
        await self._opened(self.storage)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            for storage in self._open[::-1]:
                await storage.aclose()
            for storage in self._dead:
                # It lives on in this process, with threads or files that it lets go of now.
                with suppress(StorageError):
                    await storage.aclose()

    async def _opened(self, storage: Storage) -> Storage:
        await storage.open()
        self._open.append(storage)
        return storage

    async def close(self) -> None:
        """Close the storage."""
        self._open.remove(self.storage)
        await self.storage.aclose()

    async def again(self) -> Storage:
        """Close the storage, and return the one that the next process finds, open."""
        if self.storage in self._open:
            await self.close()
        if self.hooks.survives:
            self.storage = self.hooks.make_storage(self.place)
        return await self._opened(self.storage)

    async def killed(self) -> Storage:
        """Return the storage that another process finds after this one died."""
        self._open.remove(self.storage)
        self._dead.append(self.storage)
        self.place = await self.hooks.kill(self.storage, self.place)
        self.storage = self.hooks.make_storage(self.place)
        return await self._opened(self.storage)

    async def second(self) -> Storage:
        """Return another storage over the same place, open."""
        return await self._opened(self.hooks.second(self.storage, self.place))

    async def close_second(self, storage: Storage) -> None:
        """Close what `second` opened."""
        self._open.remove(storage)
        await storage.aclose()

    async def raw_bytes(self) -> bytes:
        """Return all bytes that the storage holds."""
        return await self.hooks.raw_bytes(self.storage, self.place)

    def failing(self, after: int = 0) -> AbstractContextManager[object]:
        """Let the storage's writes fail, but the first `after` of them."""
        return self.hooks.failing(self.storage, self.place, after)

    def losing(self) -> AbstractContextManager[object]:
        """Let the answers of the storage's changes be lost."""
        return self.hooks.losing(self.storage, self.place)

    def set_clock(self, now: datetime) -> None:
        """Set the storage's clock."""
        self.hooks.set_clock(self.storage, self.place, now)

    async def damage(self, key: SessionKey, *turn_ids: int) -> Storage:
        """Make turns unreadable, and return the storage that finds them so."""
        await self.close()
        for turn_id in turn_ids:
            await self.hooks.damage(self.place, key, turn_id)
        return await self.again()

    async def block(self, key: SessionKey) -> Storage:
        """Make a session unreadable, and return the storage that finds it so."""
        await self.close()
        await self.hooks.block(self.place, key)
        return await self.again()

    async def cost(self, verb: Awaitable[object]) -> int:
        """Return how much is done for a verb; no time is measured."""
        counts = self.hooks.offers("work")
        calls = -(await self.hooks.work(self.storage, self.place)) if counts else 0

        def count(frame: FrameType, event: str, argument: object) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            await verb
        finally:
            sys.setprofile(before)
        return calls + (await self.hooks.work(self.storage, self.place) if counts else 0)


def clause(
    *hooks: str, capability: str | None = None
) -> Callable[[Callable[[Any, Lab], Awaitable[None]]], Callable[[Any, Path, str], None]]:
    """Make a test of a sentence: a plain function that runs its own event loop.

    It is skipped, with the reason, where the storage has not all the hooks that it needs, or
    does not promise what it is about.
    """

    def make(body: Callable[[Any, Lab], Awaitable[None]]) -> Callable[[Any, Path, str], None]:
        def test(self: Hooks, tmp_path: Path, backend: str) -> None:
            for hook in hooks:
                if not self.offers(hook):
                    pytest.skip(f"{type(self).__name__} has no hook `{hook}`")

            async def run() -> None:
                lab = Lab(self, tmp_path / "place")
                if capability and not getattr(lab.capabilities, capability):
                    pytest.skip(f"{type(self).__name__} has no capability `{capability}`")
                async with lab:
                    await body(self, lab)

            anyio.run(run, backend=backend)

        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(test, name, getattr(body, name))
        vars(test)["needs"] = (
            *(f"hook `{hook}`" for hook in hooks),
            *([f"capability `{capability}`"] if capability else []),
        )
        return test

    return make
