"""The order of each channel: what happens there is recorded one thing at a time."""

from __future__ import annotations

import asyncio
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

    def admit(self, channel_id: int | None) -> Admitted:
        """Admit one task at a time per channel, in the order of arrival: `async with admit(…)`.

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
        queue = self._queues.get(channel)
        if queue is None:
            queue = self._queues[channel] = asyncio.Lock()
        return Admitted(self._recording, channel, task, queue)


class Admitted:
    """The time in which one task records what happens in a channel."""

    __slots__ = ("_channel", "_queue", "_recording", "_task")

    def __init__(
        self,
        recording: dict[int, asyncio.Task[Any] | None],
        channel: int,
        task: asyncio.Task[Any] | None,
        queue: asyncio.Lock,
    ) -> None:
        self._recording, self._channel, self._task = recording, channel, task
        self._queue = queue

    async def __aenter__(self) -> None:
        await self._queue.acquire()
        self._recording[self._channel] = self._task

    async def __aexit__(self, *_: object) -> None:
        self._recording.pop(self._channel, None)
        self._queue.release()
