"""The confirmation of updates to Telegram, which waits until they are recorded."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
from aiogram import Bot
from aiogram.methods import GetUpdates, TelegramMethod

from ._requests import RequestMiddleware


class Confirmation(RequestMiddleware):
    """Holds a bot's request for updates until all earlier updates are recorded.

    Each request confirms the updates before it, and Telegram never sends those again. aiogram
    sends it as soon as the handlers have started (`handle_as_tasks`): a process that is killed
    in that moment would lose the messages. `before_first` is awaited before each request: what
    is owed an answer is handled before anything newer.
    """

    def __init__(self, before_first: Callable[[Bot], Awaitable[None]]) -> None:
        super().__init__()
        self._before_first = before_first
        self._recording: Counter[int] = Counter()
        self._recorded: anyio.Event | None = None  # for those who wait

    async def before(self, bot: Bot, method: TelegramMethod[Any]) -> None:
        """Hold a request for updates."""
        if method.__api_method__ != GetUpdates.__api_method__:
            return
        await self._before_first(bot)
        # aiogram handles updates in tasks; those that it has just created start here.
        await anyio.lowlevel.checkpoint()
        while self._recording[bot.id]:
            self._recorded = self._recorded or anyio.Event()
            await self._recorded.wait()

    def held(self, bot: Bot, *, at_most: float | None = None) -> Held:
        """Hold the requests inside the block, where an update is recorded, or for some seconds."""
        self._recording[bot.id] += 1
        return Held(lambda: self._end(bot.id), at_most)

    def _end(self, bot_id: int) -> None:
        self._recording[bot_id] -= 1
        if self._recorded is not None and not self._recording[bot_id]:
            self._recorded.set()
            self._recorded = None


class Held:
    """A hold on a bot's requests. It ends once: with its block, or after `at_most` seconds."""

    def __init__(self, end: Callable[[], None], at_most: float | None) -> None:
        self._end: Callable[[], None] | None = end
        self._timer: asyncio.TimerHandle | None = None
        if at_most is not None:
            self._timer = asyncio.get_running_loop().call_later(at_most, self.end)

    def end(self) -> None:
        """Let the requests go; a second call does nothing."""
        end, self._end = self._end, None
        if end is not None:
            end()

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.end()
