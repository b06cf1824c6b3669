"""The updates of a chat that are being recorded; changes to them have to wait."""

from __future__ import annotations

from collections.abc import Hashable

import anyio


class PendingUpdates:
    """The updates that may still be recorded, each with its chat."""

    def __init__(self) -> None:
        self._chats: dict[Hashable, int] = {}
        self._ended: anyio.Event | None = None  # for those who wait

    def begin(self, update: Hashable, chat_id: int) -> None:
        """Add an update."""
        self._chats[update] = chat_id

    def end(self, update: Hashable) -> None:
        """Remove an update that is recorded, or won't be; a second call does nothing."""
        if self._chats.pop(update, None) is not None and self._ended is not None:
            self._ended.set()
            self._ended = None

    async def wait(self, chat_id: int) -> None:
        """Wait for the chat's updates that are pending now."""
        before = {update for update, chat in self._chats.items() if chat == chat_id}
        while before & self._chats.keys():
            self._ended = self._ended or anyio.Event()
            await self._ended.wait()
