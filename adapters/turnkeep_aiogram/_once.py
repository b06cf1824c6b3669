"""Commands and pressed buttons that Telegram delivers twice are handled once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiogram import Bot
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.types import Update

from turnkeep import SessionStore
from turnkeep.adapter import Handled, Recent

from ._message import CHANNEL

_MAX_UPDATES: Final = 10_000


class Once:
    """The updates without a recorded message that are in hand, or were handled."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._in_hand: Recent[tuple[int, int], None] = Recent(_MAX_UPDATES)
        self._handled: dict[int, Handled] = {}  # by the bots' ids

    async def run(self, bot: Bot, update: Update, handle: Callable[[], Awaitable[Any]]) -> Any:
        """Return what `handle` returns; None if the update was handled, or is in hand.

        If `handle` fails, the update is handled when it is delivered again.
        """
        number = bot.id, update.update_id
        if number in self._in_hand:
            return None
        self._in_hand[number] = None
        handled = self._handled.get(bot.id)
        if handled is None:
            handled = self._handled[bot.id] = Handled(self._store, CHANNEL, bot.id)
        try:
            async with handled.in_hand(str(update.update_id)) as is_new:
                if not is_new:
                    return None
                result = await handle()
                if result is not UNHANDLED:
                    await handled.note(str(update.update_id))
        except BaseException:  # a cancelled one, too, is handled when it comes again
            self._in_hand.pop(number, None)
            raise
        return result
