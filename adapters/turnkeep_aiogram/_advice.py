"""Warnings about a bot's setup, each logged once; its records alone would not show the cause."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from aiogram import Bot
from aiogram.types import Message, Update

from ._message import Scope, message_of

logger: Final = logging.getLogger("turnkeep")


class Advice:
    """Checks each update and its bot, and logs the warnings."""

    def __init__(self, scope: Scope) -> None:
        self._accounts: set[int] = set()
        self._warns_of_sharing = not callable(scope)  # a user's own function may share on purpose
        self._in_privacy_mode: set[int] = set()

    async def ask_bots(self, bots: Iterable[Bot]) -> None:
        """Ask Telegram for the bots' settings, as aiogram itself does before it polls."""
        for bot in bots:
            if (await bot.me()).can_read_all_group_messages is False:
                self._in_privacy_mode.add(bot.id)

    def check(self, bot: Bot, update: Update) -> None:
        """Log a warning if this update is the first to show a mistake in the setup."""
        if self._warns_of_sharing and bot.id not in self._accounts:
            self._accounts.add(bot.id)
            if len(self._accounts) > 1:
                self._warns_of_sharing = False
                logger.warning(
                    "several bots share the sessions of this dispatcher, and a private chat has "
                    "the same id for each of them: give SessionMiddleware scope=per_account(…)"
                )
        if bot.id in self._in_privacy_mode and _is_in_group(message_of(update)):
            self._in_privacy_mode.discard(bot.id)
            logger.warning(
                "bot %d is in privacy mode: of a group's messages, Telegram sends it only those "
                "that are addressed to it, so no others are recorded. Switch the mode off with "
                "@BotFather, and add the bot to the group again",
                bot.id,
            )


def _is_in_group(message: Message | None) -> bool:
    return message is not None and message.chat.type in ("group", "supergroup")
