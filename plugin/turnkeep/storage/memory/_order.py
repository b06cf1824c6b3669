"""The order of changes during a long rename, the only verb that yields midway."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from anyio import Lock

from ..._records.key import SessionKey


class Order:
    """A queue in which changes of a session wait for its earlier renames.

    A change without such a rename runs at once. It is atomic because it never yields.
    """

    def __init__(self, resolve: Callable[[SessionKey], SessionKey]) -> None:
        self._resolve = resolve
        self._line = Lock()
        self._in_line: list[SessionKey] = []

    @asynccontextmanager
    async def change(self, key: SessionKey) -> AsyncGenerator[None, None]:
        if self._resolve(key) not in map(self._resolve, self._in_line):
            yield
            return
        async with self._wait(key):
            yield

    @asynccontextmanager
    async def rename(self, old: SessionKey, new: SessionKey) -> AsyncGenerator[None, None]:
        async with self._wait(old, new):
            yield

    @asynccontextmanager
    async def _wait(self, *keys: SessionKey) -> AsyncGenerator[None, None]:
        if not self._in_line:
            self._line = Lock()  # one serves the loops of one library
        self._in_line += keys
        try:
            async with self._line:
                yield
        finally:
            for key in keys:
                self._in_line.remove(key)
