"""A storage whose content is sealed, and the line in which the changes of a session wait."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from anyio import Lock

from ..._records.key import SessionKey
from ..base import SessionInfo, Storage
from ._seals import Seals

__all__ = ["Vault"]


class Vault:
    """The storage `inner`, and the `seals` of what it keeps.

    It remembers which keys are aliases, so that changes under both names wait in one line.
    """

    def __init__(self, inner: Storage, seals: Seals) -> None:
        self.inner = inner
        self.seals = seals
        self._locks: WeakValueDictionary[str, Lock] = WeakValueDictionary()
        self._targets: dict[str, str] = {}

    @asynccontextmanager
    async def in_line(self, *keys: SessionKey) -> AsyncGenerator[None]:
        """Keep the order of the calls: a change looks first, and others of its session wait."""
        names = sorted({self._targets.get(key.text, key.text) for key in keys})
        locks = [self._locks.setdefault(name, Lock(fast_acquire=True)) for name in names]
        async with AsyncExitStack() as stack:
            for lock in locks:
                await stack.enter_async_context(lock)
            yield

    async def info(self, key: SessionKey) -> SessionInfo | None:
        """Return a record as it is stored."""
        info = (await self.inner.read(key, limit=0)).info
        if info is not None:
            self.learn(key, info)
        return info

    def learn(self, key: SessionKey, info: SessionInfo) -> None:
        """Remember the session that was found under a key, if the key is an alias."""
        if info.key != key:
            self._targets[key.text] = info.key.text

    def forget_aliases(self) -> None:
        """Forget them, since a rename or an end may have made them lead elsewhere."""
        self._targets.clear()
