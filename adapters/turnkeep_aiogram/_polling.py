"""The confirmation of updates to Telegram, which waits until they are recorded."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
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
        self._recorded = anyio.Event()

    async def before(self, bot: Bot, method: TelegramMethod[Any]) -> None:
        """Hold a request for updates."""
        if method.__api_method__ != GetUpdates.__api_method__:
            return
        await self._before_first(bot)
        # aiogram handles updates in tasks; those that it has just created start here.
        await anyio.lowlevel.checkpoint()
        while self._recording[bot.id]:
            await self._recorded.wait()

    @contextmanager
    def held(self, bot: Bot, *, at_most: float | None = None) -> Generator[None, None, None]:
        """Hold the requests inside the block, where an update is recorded, or for some seconds."""
        self._recording[bot.id] += 1
        end = _Once(partial(self._end, bot))
        timer = None if at_most is None else asyncio.get_running_loop().call_later(at_most, end)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()
            end()

    def _end(self, bot: Bot) -> None:
        self._recording[bot.id] -= 1
        if not self._recording[bot.id]:
            self._recorded.set()
            self._recorded = anyio.Event()


class _Once:
    """A function that runs at its first call only."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function: Callable[[], None] | None = function

    def __call__(self) -> None:
        function, self._function = self._function, None
        if function is not None:
            function()
