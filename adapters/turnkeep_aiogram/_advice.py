"""What is told once, in the log, because it is hard to see from what is recorded."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from aiogram import Bot
from aiogram.types import Message, Update

from ._message import Scope, message_of

logger: Final = logging.getLogger("turnkeep")


class Advice:
    """Looks at each update and its bot."""

    def __init__(self, scope: Scope) -> None:
        self._accounts: set[int] = set()
        self._shares = not callable(scope)  # a function knows what it does
        self._in_privacy_mode: set[int] = set()

    async def begin(self, bots: Iterable[Bot]) -> None:
        """Asks who the bots are, as aiogram itself does before it polls."""
        for bot in bots:
            if (await bot.me()).can_read_all_group_messages is False:
                self._in_privacy_mode.add(bot.id)

    def look(self, bot: Bot, update: Update) -> None:
        if self._shares and bot.id not in self._accounts:
            self._accounts.add(bot.id)
            if len(self._accounts) > 1:
                self._shares = False
                logger.warning(
                    "several bots share the sessions of this dispatcher, and a private chat has "
                    "the same id for each of them: give SessionMiddleware scope=per_account(…)"
                )
        if bot.id in self._in_privacy_mode and _is_of_a_group(message_of(update)):
            self._in_privacy_mode.discard(bot.id)
            logger.warning(
                "bot %d is in privacy mode: of a group Telegram sends it only what is said to it, "
                "so that is all that can be recorded. Switch the mode off with @BotFather, and "
                "add the bot to the group again",
                bot.id,
            )


def _is_of_a_group(message: Message | None) -> bool:
    return message is not None and message.chat.type in ("group", "supergroup")
