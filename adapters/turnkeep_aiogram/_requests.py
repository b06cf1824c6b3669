"""A base for middlewares of the requests that a bot sends to Telegram."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.client.session.middlewares.base import (
    BaseRequestMiddleware,
    NextRequestMiddlewareType,
)
from aiogram.methods import TelegramMethod
from aiogram.methods.base import TelegramType


class RequestMiddleware(BaseRequestMiddleware):
    """A middleware of a bot's requests; subclasses override `before` or `after`."""

    def __init__(self) -> None:
        self._sessions: WeakSet[BaseSession] = WeakSet()

    def watch(self, bot: Bot) -> None:
        """See the bot's requests from now on; a second call does nothing."""
        if bot.session not in self._sessions:
            self._sessions.add(bot.session)
            bot.session.middleware(self)

    async def __call__(
        self,
        make_request: NextRequestMiddlewareType[TelegramType],
        bot: Bot,
        method: TelegramMethod[TelegramType],
    ) -> Any:
        await self.before(bot, method)
        result = await make_request(bot, method)
        await self.after(method, result)
        return result

    async def before(self, bot: Bot, method: TelegramMethod[Any]) -> None:
        """Run before each request; do nothing here."""

    async def after(self, method: TelegramMethod[Any], result: object) -> None:
        """Run after each successful request; do nothing here."""
