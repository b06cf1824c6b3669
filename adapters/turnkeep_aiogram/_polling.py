"""Updates are confirmed to Telegram when they are recorded, and no sooner."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import anyio.lowlevel
from aiogram import Bot
from aiogram.client.session.middlewares.base import NextRequestMiddlewareType
from aiogram.methods import GetUpdates, TelegramMethod
from aiogram.methods.base import TelegramType

from ._requests import RequestMiddleware


class Confirmation(RequestMiddleware):
    """Holds a bot's request for updates until those that came before are recorded.

    A request confirms what came before it, which Telegram then never gives again; and aiogram
    makes it as soon as the handlers have begun (`handle_as_tasks`). A process that is killed in
    that moment would have lost what was said.
    """

    def __init__(self) -> None:
        super().__init__()
        self._recording: Counter[int] = Counter()
        self._recorded = anyio.Event()

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
