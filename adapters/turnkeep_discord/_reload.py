"""The events that arrive while the extension is reloaded, between the old cog and the new one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from discord.ext import commands

logger: Final = logging.getLogger("turnkeep")

_MAX_WAIT: Final = 10.0
"""The seconds to wait for a new cog; the extension may have been unloaded for good."""

_MAX_EVENTS: Final = 1000

Listener = Callable[..., Coroutine[Any, Any, None]]


class EventBuffer:
    """Keeps the events that the old cog listened to until the next cog replays them."""

    def __init__(self, bot: commands.Bot | commands.AutoShardedBot, names: Iterable[str]) -> None:
        self._bot = bot
        self._kept: list[tuple[str, tuple[Any, ...]]] = []
        self._ended = asyncio.Event()
        self._listeners = {name: self._listener(name) for name in names}
        self._replays: set[asyncio.Task[None]] = set()
        for name, listener in self._listeners.items():
            bot.add_listener(listener, name)
        self._timer = asyncio.get_running_loop().call_later(_MAX_WAIT, self.end)
        _buffers[bot] = self

    def _listener(self, name: str) -> Listener:
        async def keep(*payload: Any) -> None:
            if len(self._kept) == _MAX_EVENTS:
                logger.error("more than %d events came while the cog was reloaded", _MAX_EVENTS)
            if len(self._kept) <= _MAX_EVENTS:
                self._kept.append((name, payload))

        return keep

    def end(self) -> None:
        """Stop listening."""
        self._timer.cancel()
        for name, listener in self._listeners.items():
            self._bot.remove_listener(listener, name)
        _buffers.pop(self._bot, None)
        self._ended.set()

    def replay_to(self, listeners: Mapping[str, Listener]) -> None:
        """Stop listening, and start to replay the kept events to the new cog's listeners."""
        self.end()
        for name, payload in self._kept:
            task = asyncio.create_task(self._replay(listeners[name], name, payload))
            self._replays.add(task)
            task.add_done_callback(self._replays.discard)

    async def _replay(self, listener: Listener, name: str, payload: tuple[Any, ...]) -> None:
        try:
            await listener(*payload)
        # discord.py, too, reports a listener's error and goes on.
        except Exception:  # noqa: BLE001
            await self._bot.on_error(name, *payload)

    async def wait_until_ended(self) -> None:
        """Wait until there is a new cog, or none is expected any more."""
        await self._ended.wait()


_buffers: Final[WeakKeyDictionary[commands.Bot | commands.AutoShardedBot, EventBuffer]] = (
    WeakKeyDictionary()
)


def buffer_of(bot: commands.Bot | commands.AutoShardedBot) -> EventBuffer | None:
    """Return the buffer that keeps the bot's events now, or None."""
    return _buffers.get(bot)
