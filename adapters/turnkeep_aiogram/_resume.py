"""Updates are handled again whose answer a crash or a restart cut off."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

from aiogram import Bot, Dispatcher
from aiogram.types import Update

from turnkeep.adapter import Recorder, Resumer, ToHandle

from ._as_json import as_json
from ._feeding import feed_update

logger: Final = logging.getLogger("turnkeep")

_STARTUP: Final = 1.0
"""The seconds that a bot behind a webhook has for its own startup: nothing tells of its end."""


def to_handle(update: Update, bot: Bot) -> ToHandle:
    """Return what is needed to handle an update again."""
    return ToHandle(_name(bot.id), as_json(update))


def _name(bot_id: int) -> str:
    return f"telegram:{bot_id}"


class Resume:
    """The owed updates of a dispatcher's bots. They pass through all of its middlewares again."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._dispatcher: Dispatcher | None = None
        self._resumers: dict[int, Resumer | None] = {}
        self._started: set[int] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def watch(self, dispatcher: Dispatcher) -> None:
        """Feed them to this dispatcher."""
        self._dispatcher = dispatcher

    def open(self, bots: Iterable[Bot]) -> None:
        """Begin with the bots' first poll, or when a bot behind a webhook has started."""
        for bot in bots:
            self._started.discard(bot.id)
            self._attach(bot)
            self._begin(self._start_late(bot))

    def announce(self, bot: Bot) -> None:
        """Begin now, unless it has begun: a bot that is fed has started."""
        if bot.id not in self._started:
            if bot.id not in self._resumers:
                self._attach(bot)
            self._begin(self.start(bot))

    def _attach(self, bot: Bot) -> None:
        handle = partial(self._handle, bot)
        self._resumers[bot.id] = self._recorder.resumer(_name(bot.id), handle)

    async def _start_late(self, bot: Bot) -> None:
        await asyncio.sleep(_STARTUP)
        await self.start(bot)

    async def start(self, bot: Bot) -> None:
        """Let the handlers of the bot's owed updates begin, in their order, once."""
        if bot.id in self._started or _name(bot.id) in self._recorder.debts.closing:
            return
        self._started.add(bot.id)
        resumer = self._resumers.get(bot.id)
        if resumer is not None:
            await resumer.run()
            resumer.watch()

    async def _handle(self, bot: Bot, data: Mapping[str, Any]) -> None:
        update = Update.model_validate(data, context={"bot": bot})
        self._begin(self._feed(bot, update))

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _feed(self, bot: Bot, update: Update) -> None:
        assert self._dispatcher is not None
        try:
            await feed_update(self._dispatcher, bot, update)
        except Exception:  # as aiogram does with an update that it has polled
            logger.exception("update %d, which was handled again, has failed", update.update_id)

    def close(self) -> None:
        """Begin nothing more, and leave what is cut off from now on to the next start."""
        for bot_id, resumer in self._resumers.items():
            self._recorder.debts.closing.add(_name(bot_id))
            if resumer is not None:
                resumer.stop()
