"""Updates of a webhook, whose requests are answered as soon as they are recorded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from aiogram import Bot, Dispatcher
from aiogram.methods import TelegramMethod
from aiogram.types import Update

logger: Final = logging.getLogger("turnkeep")


async def feed_update(dispatcher: Dispatcher, bot: Bot, update: Update) -> None:
    """Handle an update and send what its handler returned, as aiogram's polling does."""
    result = await dispatcher.feed_update(bot, update)
    if isinstance(result, TelegramMethod):
        await dispatcher.silent_call_request(bot, result)


class Feeding:
    """The updates that are being handled in tasks of their own."""

    def __init__(self) -> None:
        self._recorded: dict[int, asyncio.Event] = {}  # by id() of the updates
        self._tasks: set[asyncio.Task[None]] = set()

    def recorded(self, update: Update) -> None:
        """Note that an update is recorded, or is not to be."""
        if (event := self._recorded.get(id(update))) is not None:
            event.set()

    async def feed(
        self, dispatcher: Dispatcher, bot: Bot, update: Update | Mapping[str, Any]
    ) -> None:
        """Begin to handle an update, and return when it is recorded."""
        if isinstance(update, Update):
            update = update.model_dump(by_alias=True, exclude_unset=True)
        update = Update.model_validate(update, context={"bot": bot})
        event = self._recorded[id(update)] = asyncio.Event()
        task = asyncio.create_task(self._handle(dispatcher, bot, update, event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        waiting = asyncio.create_task(event.wait())
        try:
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            self._recorded.pop(id(update), None)
        if not event.is_set():
            task.result()

    async def _handle(
        self, dispatcher: Dispatcher, bot: Bot, update: Update, recorded: asyncio.Event
    ) -> None:
        try:
            await feed_update(dispatcher, bot, update)
        except Exception:  # as aiogram does with an update that it has polled
            if not recorded.is_set():
                raise
            logger.exception("update %d could not be handled", update.update_id)
