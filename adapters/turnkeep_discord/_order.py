"""The order of each channel: what happens there is recorded one thing at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from turnkeep import TurnkeepError


class ChannelOrder:
    """The tasks that record what happens in channels, each behind the earlier ones of its own."""

    def __init__(self) -> None:
        self._recording: dict[int, asyncio.Task[Any] | None] = {}  # the task, by channel
        self._queues: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        """The tasks that asked for a session, or record an event."""

    @asynccontextmanager
    async def admit(self, channel_id: int | None) -> AsyncGenerator[None, None]:
        """Admit one task at a time per channel, in the order of arrival.

        Nothing is awaited before the task has its place in the queue. Raises `TurnkeepError` if
        the task waits for itself.
        """
        task, channel = asyncio.current_task(), channel_id or 0
        if task is not None:
            self.tasks.add(task)
        if task is not None and self._recording.get(channel) is task:
            raise TurnkeepError(
                f"channel {channel}: its messages are being recorded, and a function that "
                "chooses among them (a command_prefix, a record=) asks for the session, which "
                "waits for that function: read store.session(session_key(channel.id)) there"
            )
        lock = self._queues.setdefault(channel, asyncio.Lock())
        async with lock:
            self._recording[channel] = task
            try:
                yield
            finally:
                self._recording.pop(channel, None)
