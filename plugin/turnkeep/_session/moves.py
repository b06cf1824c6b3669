"""Ids stay what they are while something is done that goes by them; a rename may change them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from anyio import Event

__all__ = ["Moves"]


class Moves:
    """Of one store. `count` is how many renames there were; by it old ids are known as such."""

    def __init__(self) -> None:
        self.count = 0
        self._is_moving = False
        self._steady = 0
        self._changed = Event()

    @asynccontextmanager
    async def steady(self) -> AsyncGenerator[None, None]:
        """No rename begins meanwhile; not to be entered inside of itself."""
        while self._is_moving:
            await self._changed.wait()
        self._steady += 1
        try:
            yield
        finally:
            self._steady -= 1
            self._tell()

    @asynccontextmanager
    async def moving(self) -> AsyncGenerator[None, None]:
        """A rename, when all that goes by ids has ended."""
        while self._is_moving:
            await self._changed.wait()
        self._is_moving = True
        try:
            while self._steady:
                await self._changed.wait()
            yield
        finally:
            self._is_moving = False
            self.count += 1
            self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = Event()
