"""The confirmation of updates to Telegram, which waits until they are recorded."""

from __future__ import annotations

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

    def begin(self, bot: Bot) -> None:
        """Count an update of the bot that is being recorded."""
        self._recording[bot.id] += 1

    def end(self, bot: Bot) -> None:
        """Count it as done: it is recorded, or was refused with an error."""
        self._recording[bot.id] -= 1
        if not self._recording[bot.id]:
            self._recorded.set()
            self._recorded = anyio.Event()
