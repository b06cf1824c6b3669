"""Updates are confirmed to Telegram when they are recorded, and no sooner."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import anyio
from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.client.session.middlewares.base import (
    BaseRequestMiddleware,
    NextRequestMiddlewareType,
)
from aiogram.methods import GetUpdates, TelegramMethod
from aiogram.methods.base import TelegramType
from aiogram.types import Update


class Confirmation(BaseRequestMiddleware):
    """Holds a bot's request for updates until those that came before are recorded.

    A request confirms what came before it, which Telegram then never gives again; and aiogram
    makes it as soon as the handlers have begun (`handle_as_tasks`). A process that is killed in
    that moment would have lost what was said.
    """

    def __init__(self) -> None:
        self._sessions: WeakSet[BaseSession] = WeakSet()
        self._pending: dict[int, set[int]] = {}
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
        asks_for_updates = method.__api_method__ == GetUpdates.__api_method__
        while asks_for_updates and self._pending.get(bot.id):
            await self._recorded.wait()
        result: Any = await make_request(bot, method)
        if asks_for_updates:
            self._pending[bot.id] = {update.update_id for update in result}
        return result

    def recorded(self, bot: Bot, update: Update) -> None:
        """What the update says is recorded, or was refused with an error."""
        pending = self._pending.get(bot.id)
        if pending is not None and update.update_id in pending:
            pending.remove(update.update_id)
            if not pending:
                self._recorded.set()
                self._recorded = anyio.Event()
