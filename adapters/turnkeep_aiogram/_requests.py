"""A base for middlewares of the requests that a bot sends to Telegram."""

from __future__ import annotations

from weakref import WeakSet

from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.client.session.middlewares.base import BaseRequestMiddleware


class RequestMiddleware(BaseRequestMiddleware):
    """A middleware that each bot's session gets once."""

    def __init__(self) -> None:
        self._sessions: WeakSet[BaseSession] = WeakSet()

    def watch(self, bot: Bot) -> None:
        """Begin to see the bot's requests."""
        if bot.session not in self._sessions:
            self._sessions.add(bot.session)
            bot.session.middleware(self)
