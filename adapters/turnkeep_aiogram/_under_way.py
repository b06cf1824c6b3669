"""Which updates of a chat are being recorded, so that what changes them comes behind."""

from __future__ import annotations

from collections.abc import Hashable

import anyio


class UnderWay:
    """Begins and ends with each update that may be recorded."""

    def __init__(self) -> None:
        self._chats: dict[Hashable, int] = {}
        self._ended = anyio.Event()

    def begin(self, update: Hashable, chat_id: int) -> None:
        self._chats[update] = chat_id

    def end(self, update: Hashable) -> None:
        """It is recorded, or will not be; twice does nothing."""
        if self._chats.pop(update, None) is not None:
            self._ended.set()
            self._ended = anyio.Event()

    async def wait(self, chat_id: int) -> None:
        """Waits for those of the chat that are under way now."""
        before = {update for update, chat in self._chats.items() if chat == chat_id}
        while before & self._chats.keys():
            await self._ended.wait()
