"""The order of changes during a long rename, the only verb that yields midway."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Final

from anyio import Lock

from ..._records.key import SessionKey

_AT_ONCE: Final = nullcontext()


class Order:
    """A queue in which changes of a session wait for its earlier renames.

    A change without such a rename runs at once. It is atomic because it never yields.
    """

    def __init__(self, resolve: Callable[[SessionKey], SessionKey]) -> None:
        self._resolve = resolve
        self._line = Lock()
        self._in_line: list[SessionKey] = []

    def change(self, key: SessionKey) -> AbstractAsyncContextManager[None]:
        if self._in_line and self._resolve(key) in map(self._resolve, self._in_line):
            return self._wait(key)
        return _AT_ONCE

    def rename(self, old: SessionKey, new: SessionKey) -> AbstractAsyncContextManager[None]:
        return self._wait(old, new)

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
