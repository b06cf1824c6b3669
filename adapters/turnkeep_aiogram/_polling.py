"""Updates are confirmed to Telegram when they are recorded, and no sooner."""

from __future__ import annotations

from collections import Counter
from typing import Any
from weakref import WeakSet

import anyio
import anyio.lowlevel
from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.client.session.middlewares.base import (
    BaseRequestMiddleware,
    NextRequestMiddlewareType,
)
from aiogram.methods import GetUpdates, TelegramMethod
from aiogram.methods.base import TelegramType


class Confirmation(BaseRequestMiddleware):
    """Holds a bot's request for updates until those that came before are recorded.

    A request confirms what came before it, which Telegram then never gives again; and aiogram
    makes it as soon as the handlers have begun (`handle_as_tasks`). A process that is killed in
    that moment would have lost what was said.
    """

    def __init__(self) -> None:
        self._sessions: WeakSet[BaseSession] = WeakSet()
        self._recording: Counter[int] = Counter()
        self._recorded = anyio.Event()

    def watch(self, bot: Bot) -> None:
        """From now on the bot's requests are seen."""
        if bot.session not in self._sessions:
            self._sessions.add(bot.session)
            bot.session.middleware(self)

    async def __call__(
        self,
        make_request: NextRequestMiddlewareType[TelegramType],
        bot: Bot,
        method: TelegramMethod[TelegramType],
    ) -> Any:
        if method.__api_method__ == GetUpdates.__api_method__:
            # The tasks that aiogram made of what came before begin when they get a turn.
            await anyio.lowlevel.checkpoint()
            while self._recording[bot.id]:
                await self._recorded.wait()
        return await make_request(bot, method)

    def begin(self, bot: Bot) -> None:
        """An update of the bot's is being recorded."""
        self._recording[bot.id] += 1

    def end(self, bot: Bot) -> None:
        """It is recorded, or was refused with an error."""
        self._recording[bot.id] -= 1
        if not self._recording[bot.id]:
            self._recorded.set()
            self._recorded = anyio.Event()
